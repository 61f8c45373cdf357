"""The stores that exist, with their hours and timezones: a materialized view of three topics.

Like the view of reports it is built anew at each start, in a temporary SQLite file: there may be
more stores than a process should have in memory.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from stream_app.contracts.business_hours import decode_hours, decode_rows
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.removal import tombstone_store
from stream_app.contracts.revisions import Revision, decode_revision, encode_revision
from stream_app.contracts.stores import decode_store, decode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_TIMEZONES, STORES

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.domain.business_hours import Row

TOPICS: Final = (STORES, STORE_BUSINESS_HOURS, STORE_TIMEZONES)
"""The topics that the view reads."""

_SCHEMA: Final = """
CREATE TABLE store (
    store_id TEXT PRIMARY KEY,
    -- whether the workers say that it exists
    registered INTEGER NOT NULL DEFAULT 0,
    hours BLOB,
    timezone TEXT,
    -- which record each of them was read from (contracts.revisions)
    hours_revision BLOB,
    timezone_revision BLOB,
    -- what `api.fleet.view` adds: the zone that applies, whether it is open, when that changes,
    -- and the number of its state, of which indexes and counts are kept there
    zone TEXT,
    open INTEGER,
    opening_changes_at INTEGER,
    reevaluate_at INTEGER NOT NULL DEFAULT 0,
    evaluated_at INTEGER,
    polled INTEGER,
    active INTEGER,
    rank INTEGER,
    figures BLOB,
    -- what the orders of the fleet sort by: the newest poll and the downtime, negative
    polled_order INTEGER NOT NULL DEFAULT 9223372036854775807,
    worst REAL NOT NULL DEFAULT 9e999
) WITHOUT ROWID;
-- the revisions of removed hours and timezones: records that are older may still come
CREATE TABLE removed (
    store_id TEXT NOT NULL,
    fact TEXT NOT NULL,
    revision BLOB NOT NULL,
    PRIMARY KEY (store_id, fact)
) WITHOUT ROWID;
"""

_CACHE_KIB: Final = 16_384
"""KiB of the database's pages in memory: ids come in no order, and each is on another page."""

_Fact = Literal["hours", "timezone"]

_READ_REVISION: Final[dict[_Fact, str]] = {
    "hours": "SELECT hours_revision FROM store WHERE store_id = ?",
    "timezone": "SELECT timezone_revision FROM store WHERE store_id = ?",
}

_REMOVE: Final[dict[_Fact, str]] = {
    "hours": (
        "UPDATE store SET hours = NULL, hours_revision = NULL, reevaluate_at = 0 WHERE store_id = ?"
    ),
    "timezone": (
        "UPDATE store SET timezone = NULL, timezone_revision = NULL, reevaluate_at = 0"
        " WHERE store_id = ?"
    ),
}

_EXISTS: Final = "(registered OR hours IS NOT NULL OR timezone IS NOT NULL)"
"""The SQL condition for a row of a store that exists; a poll alone does not make a store."""

_WRITE: Final[dict[_Fact, str]] = {
    "hours": (
        "INSERT INTO store (store_id, hours, hours_revision) VALUES (?, ?, ?)"
        " ON CONFLICT (store_id) DO UPDATE SET hours = excluded.hours,"
        " hours_revision = excluded.hours_revision, reevaluate_at = 0"
    ),
    "timezone": (
        "INSERT INTO store (store_id, timezone, timezone_revision) VALUES (?, ?, ?)"
        " ON CONFLICT (store_id) DO UPDATE SET timezone = excluded.timezone,"
        " timezone_revision = excluded.timezone_revision, reevaluate_at = 0"
    ),
}

_BEHIND_HEXADECIMAL: Final = "g"
"""A text that sorts after every character of a canonical store id."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """A store that exists.

    Attributes:
        store_id: the store.
        hours: its rows of business hours; empty if the store is always open.
        timezone: its timezone as it was sent, also an unknown one; None if none was sent.
    """

    store_id: str
    hours: tuple[Row, ...] = ()
    timezone: str | None = None


class StoreView:
    """The stores of all three topics.

    Args:
        path: a new file, which only this process uses.
        partitions: the partitions of the topics by store. A record on a wrong partition does not
            count: the workers forward it, and it comes again on the right one.
    """

    def __init__(self, path: Path, partitions: int) -> None:
        self._partitions = partitions
        self._any_removed = False
        self._count = 0
        self._database = sqlite3.connect(path, isolation_level=None)
        # the file is deleted at exit and need not survive a crash
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.executescript(_SCHEMA)
        # this transaction never ends: no other connection reads, and a transaction for every
        # record would cost several times as much
        self._database.execute("BEGIN")

    @property
    def database(self) -> sqlite3.Connection:
        """Return its only connection, for views that share its table."""
        return self._database

    @property
    def count(self) -> int:
        """Return the number of stores that the workers have registered."""
        return self._count

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def on_record(self, record: Any) -> None:
        """Apply a record of any of the topics.

        Raises:
            RecordError: it cannot be used, and changes nothing.
        """
        if record.topic == STORES.name:
            gone = tombstone_store(record)
            if gone is None:
                self._exists(decode_store(record.value).store_id)
            else:
                self._count -= self._database.execute(
                    "UPDATE store SET registered = 0 WHERE store_id = ? AND registered", (gone,)
                ).rowcount
                drop_if_gone(self._database, gone)
        elif record.topic == STORE_BUSINESS_HOURS.name:
            self._hours(record)
        else:
            self._timezone(record)

    def exists(self, store_id: str) -> bool:
        """Return whether any input has named the store, as far as is known now."""
        rows = self._database.execute(
            f"SELECT 1 FROM store WHERE store_id = ? AND {_EXISTS}",  # noqa: S608  ours
            (store_id,),
        )
        return rows.fetchone() is not None

    def get(self, store_id: str) -> StoreEntry | None:
        """Return a store as it stands; None where it is unknown."""
        row = self._database.execute(
            f"SELECT hours, timezone FROM store WHERE store_id = ? AND {_EXISTS}",  # noqa: S608  ours
            (store_id,),
        ).fetchone()
        if row is None:
            return None
        hours = () if row[0] is None else tuple(decode_rows(row[0]))
        return StoreEntry(store_id, hours, row[1])

    def page(self, prefix: str, after: str, limit: int) -> list[str]:
        """Return up to `limit` ids that begin with `prefix` and come behind `after`, in order."""
        rows = self._database.execute(
            "SELECT store_id FROM store WHERE store_id > ? AND store_id >= ? AND store_id < ?"  # noqa: S608  ours
            f" AND {_EXISTS} ORDER BY store_id LIMIT ?",
            (after, prefix, prefix + _BEHIND_HEXADECIMAL, limit),
        )
        return [store_id for (store_id,) in rows]

    def _exists(self, store_id: str) -> None:
        self._count += self._database.execute(
            "INSERT INTO store (store_id, registered) VALUES (?, 1)"
            " ON CONFLICT (store_id) DO UPDATE SET registered = 1 WHERE NOT registered",
            (store_id,),
        ).rowcount

    def _hours(self, record: Any) -> None:
        removed = tombstone_store(record)
        if removed is not None:
            self._set("hours", removed, None, record)
            return
        hours = decode_hours(record.value)
        self._set("hours", hours.store_id, hours.hours.encode(), record)

    def _timezone(self, record: Any) -> None:
        removed = tombstone_store(record)
        if removed is not None:
            self._set("timezone", removed, None, record)
            return
        timezone = decode_timezone(record.value)
        self._set("timezone", timezone.store_id, timezone.timezone, record)

    def _set(
        self,
        fact: _Fact,
        store_id: str,
        content: bytes | str | None,
        record: Any,
    ) -> None:
        """Set or remove a fact of a store, if the record is newer than the known one."""
        if not self._belongs(store_id, record):
            return
        revision = Revision.of(record).superseding(self._revision(fact, store_id))
        if revision is None:
            return
        encoded = encode_revision(revision)
        if content is not None:
            self._database.execute(_WRITE[fact], (store_id, content, encoded))
            return
        self._any_removed = True
        self._database.execute(
            "INSERT OR REPLACE INTO removed VALUES (?, ?, ?)", (store_id, fact, encoded)
        )
        self._database.execute(_REMOVE[fact], (store_id,))
        drop_if_gone(self._database, store_id)

    def _revision(self, fact: _Fact, store_id: str) -> Revision | None:
        """Return the revision of a fact, also of a removed one; None if the fact is unknown."""
        row = self._database.execute(_READ_REVISION[fact], (store_id,)).fetchone()
        if self._any_removed and (row is None or row[0] is None):
            row = self._database.execute(
                "SELECT revision FROM removed WHERE store_id = ? AND fact = ?", (store_id, fact)
            ).fetchone()
        return None if row is None or row[0] is None else decode_revision(row[0])

    def _belongs(self, store_id: str, record: Any) -> bool:
        right = partition_of(store_id.encode(), self._partitions)
        return bool(right == record.partition)


def drop_if_gone(database: sqlite3.Connection, store_id: str) -> None:
    """Delete the row of a store that does not exist any more and has no poll."""
    database.execute(
        f"DELETE FROM store WHERE store_id = ? AND NOT {_EXISTS} AND polled IS NULL",  # noqa: S608  ours
        (store_id,),
    )
