"""Pages of stores in an order, read from the table of the view a slice at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from api.fleet.state import STATES

if TYPE_CHECKING:
    import sqlite3

    from api.fleet.state import State

Sort = Literal["worst", "id", "last_poll"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

SLICE_STORES: Final = 5_000
"""Stores that are read before other requests get their turn."""


@dataclass(frozen=True, slots=True)
class _Order:
    """An order of the stores: the table or index to read, and the columns of its key."""

    source: str
    key: tuple[str, ...]


_ORDERS: Final[dict[Sort, _Order]] = {
    # this index begins with the state, so it gives the order of one state only
    "worst": _Order("store INDEXED BY store_worst", ("worst", "store_id")),
    "id": _Order("store", ("store_id",)),
    "last_poll": _Order("store INDEXED BY store_polled", ("polled_order", "store_id")),
}


@dataclass(frozen=True, slots=True)
class FleetQuery:
    """A filter of the stores, and their order.

    Attributes:
        states: the states that a store may be in; empty for any.
        timezone: the timezone that applies to a store; None for any.
        part: a part of the store id, with its dashes or without; empty for any store.
        sort: the order of the stores.
        limit: the largest number of stores on the page.
        offset: the number of matching stores before the page.
    """

    states: tuple[State, ...] = ()
    timezone: str | None = None
    part: str = ""
    sort: Sort = "worst"
    limit: int = 50
    offset: int = 0


@dataclass(slots=True)
class _Scan:
    """A scan of stores in an order.

    Attributes:
        ranks: the numbers of the states that match.
        order: the order of the stores.
        among: the condition for the stores that are read, in SQL.
        where: the conditions for those of them that match, in SQL.
        values: the parameters of `where`.
        after: the key of the store after which the scan goes on.
    """

    ranks: tuple[int, ...]
    order: _Order
    among: str
    where: list[str]
    values: dict[str, Any]
    after: tuple[Any, ...]


class FleetPages:
    """Finds the stores of a page.

    Args:
        database: has the table of stores and the counts of their states.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    async def find(self, query: FleetQuery) -> tuple[int, list[str]]:
        """Return how many stores match a query, and the ids of those on its page.

        The stores are read in order, a slice at a time, so that a page far behind delays no other
        request. A store whose place changes meanwhile may be missing, or come twice.
        """
        matching = 0
        page_ids: list[str] = []
        for scan in self._scans(query):
            known = None if query.part else self._count_in_states(scan.ranks, query.timezone)
            if known is not None:
                behind = matching + known
                if behind <= query.offset or len(page_ids) == query.limit:
                    matching = behind
                    continue
            of_scan = 0
            while True:
                skip = max(0, query.offset - matching - of_scan)
                size, page, last = self._slice(scan, skip, query.limit - len(page_ids))
                of_scan += size
                page_ids += page
                await asyncio.sleep(0)
                if last is None or (known is not None and len(page_ids) == query.limit):
                    break
                scan.after = last
            matching += of_scan if known is None else known
        return matching, page_ids

    def _scans(self, query: FleetQuery) -> list[_Scan]:
        """Return the scans that a query needs, one after the other."""
        ranks = sorted(map(STATES.index, query.states or STATES))
        where: list[str] = []
        values: dict[str, Any] = {}
        if query.timezone is not None:
            where.append("zone = :zone")
            values["zone"] = query.timezone
        if query.part:
            # an id may be given without its dashes, and so may a part of one
            shape = "store_id" if "-" in query.part else "replace(store_id, '-', '')"
            where.append(f"instr({shape}, :part) > 0")
            values["part"] = query.part
        order = _ORDERS[query.sort]
        if query.sort == "worst":
            return [
                _Scan((rank,), order, f"rank = {rank}", [*where], values, (float("-inf"), ""))
                for rank in ranks
            ]
        if len(ranks) < len(STATES):
            where.append(f"rank IN ({', '.join(map(str, ranks))})")
        first = ("",) if query.sort == "id" else (-(1 << 62), "")
        return [_Scan(tuple(ranks), order, "rank IS NOT NULL", where, values, first)]

    def _count_in_states(self, ranks: tuple[int, ...], timezone: str | None) -> int:
        (stores,) = self._database.execute(
            f"SELECT sum(stores) FROM tally WHERE rank IN ({', '.join(map(str, ranks))})"  # noqa: S608  numbers of ours
            " AND (?1 IS NULL OR zone = ?1)",
            (timezone,),
        ).fetchone()
        return stores or 0

    def _slice(
        self, scan: _Scan, skip: int, limit: int
    ) -> tuple[int, list[str], tuple[Any, ...] | None]:
        """Read the next SLICE_STORES stores of a scan.

        Returns:
            how many of them match; the ids of at most `limit` matches after the first `skip`; and
            the key after which the scan goes on, None at the end.
        """
        key = ", ".join(scan.order.key)
        start = ", ".join(f":after{number}" for number in range(len(scan.order.key)))
        columns = ", ".join(dict.fromkeys((*scan.order.key, "zone", "rank")))
        rows = (
            f"SELECT {columns} FROM {scan.order.source}"  # noqa: S608  names of ours
            f" WHERE {scan.among} AND ({key}) > ({start}) ORDER BY {key}"
        )
        values: dict[str, Any] = {
            **scan.values,
            **{f"after{number}": part for number, part in enumerate(scan.after)},
            "slice": SLICE_STORES,
        }
        some = f"FROM ({rows} LIMIT :slice) WHERE {' AND '.join(scan.where) or 'true'}"
        execute = self._database.execute
        (size,) = execute(f"SELECT count(*) {some}", values).fetchone()
        page: list[str] = []
        if size > skip and limit:
            page = [
                store_id
                for (store_id,) in execute(
                    f"SELECT store_id {some} LIMIT :limit OFFSET :skip",
                    {**values, "limit": limit, "skip": skip},
                )
            ]
        last = execute(
            f"SELECT {key} FROM ({rows} LIMIT 1 OFFSET :slice - 1)",  # noqa: S608  names of ours
            values,
        ).fetchone()
        return size, page, last
