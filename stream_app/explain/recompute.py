"""The figures of a claim, recomputed step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stream_app.domain.report_spec import unknown_columns_of
from stream_app.domain.timestamps import DAY, HOUR, SECOND, WEEK, format_instant
from stream_app.explain.reference_model import Walk

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from stream_app.explain.reference_model import Row, Step
    from stream_app.explain.reported import Claim

_WINDOWS: Final = {"hour": HOUR, "day": DAY, "week": WEEK}


@dataclass(slots=True)
class Counted:
    """The open time of a window: minutes, or µs where no grid counts.

    Attributes:
        name: of the window, for people.
        row: index of the claim's row that tells of it.
        columns: of uptime and of downtime.
        up: with status active.
        down: with status inactive.
        unknown_up: how much of `up` no poll backs.
        unknown_down: how much of `down` no poll backs.
    """

    name: str
    row: int
    columns: tuple[str, str]
    up: int = 0
    down: int = 0
    unknown_up: int = 0
    unknown_down: int = 0

    def add(self, amount: int, step: Step) -> None:
        """Count a step that is open."""
        unknown = 0 if step.covered else amount
        if step.active:
            self.up += amount
            self.unknown_up += unknown
        else:
            self.down += amount
            self.unknown_down += unknown


@dataclass(slots=True)
class Stretch:
    """A longest run of one status.

    Attributes:
        start: µs.
        end: µs.
        active: the status.
        poll: µs, the poll that first says so; None: the default status stands.
        last_poll: µs, the newest that says so still.
        open: the open time in it: minutes, or µs where no grid counts.
    """

    start: int
    end: int
    active: bool
    poll: int | None
    last_poll: int | None
    open: int = 0


@dataclass(slots=True)
class Recount:
    """What came out.

    Attributes:
        rows: by column, as the claim has them.
        polls_counted: of the whole time with the lookback before it.
        coverage: of the whole time.
        windows: what was counted.
        stretches: oldest first.
    """

    rows: list[dict[str, Any]]
    polls_counted: int
    coverage: float | None
    windows: list[Counted]
    stretches: list[Stretch]


@dataclass(slots=True)
class _Piled:
    """Exact times of a row."""

    start: int
    end: int = 0
    opened: int = 0
    covered: int = 0
    polls: int = 0

    def add(self, step: Step) -> None:
        self.end = step.end
        if step.open:
            self.opened += step.end - step.start
            if step.covered:
                self.covered += step.end - step.start

    def coverage(self) -> float | None:
        return round(self.covered / self.opened, 6) if self.opened else None


@dataclass(slots=True)
class _Tally:
    """Open time by window, and stretches of status, of steps in order."""

    exact: bool
    windows: dict[Hashable, Counted] = field(default_factory=dict)
    stretches: list[Stretch] = field(default_factory=list)

    def add(self, step: Step, keys: Iterable[Hashable]) -> None:
        amount = step.end - step.start if self.exact else 1
        last = self.stretches[-1] if self.stretches else None
        by_default = step.poll is None
        if last is None or (last.active, last.poll is None) != (step.active, by_default):
            last = Stretch(step.start, step.end, step.active, step.poll, step.poll)
            self.stretches.append(last)
        last.end, last.last_poll = step.end, step.poll
        if not step.open:
            return
        last.open += amount
        for key in keys:
            self.windows[key].add(amount, step)


def walk_of(claim: Claim, hours: Sequence[Row] | None, polls: Iterable[tuple[int, bool]]) -> Walk:
    """The walk through the time of a claim."""
    return Walk(
        hours or [],
        claim.timezone,
        polls,
        claim.start,
        claim.end,
        lookback=claim.lookback,
        stale_after=claim.stale_after,
        default_active=claim.default_active,
    )


def recount(claim: Claim, walk: Walk) -> Recount:
    """Recompute all that a claim tells in figures."""
    edges = {name: claim.end - length for name, length in _WINDOWS.items()}
    cuts = [edge for edge in edges.values() if edge >= claim.start] if claim.windows else []
    pieces = list(walk.pieces(cuts))
    piled: dict[Hashable, _Piled] = {}
    for piece in pieces:
        key = piece.day if claim.daily else None
        piled.setdefault(key, _Piled(piece.start)).add(piece)
    for poll in walk.polls:
        if claim.start <= poll < claim.end and claim.daily:
            piled[walk.day_of(poll)].polls += 1
    tally = _Tally(claim.exact, _windows(claim, piled))
    for step in pieces if claim.exact else walk.minutes():
        keys: Iterable[Hashable] = (None,)
        if claim.windows:
            keys = [name for name, edge in edges.items() if step.start >= edge]
        elif claim.daily:
            keys = (step.day,)
        tally.add(step, keys)
    whole = _Piled(claim.start)
    for piece in pieces:
        whole.add(piece)
    if not claim.daily:
        for pile in piled.values():
            pile.polls = len(walk.polls)
    return Recount(
        rows=list(_rows(claim, piled, tally)),
        polls_counted=len(walk.polls),
        coverage=whole.coverage(),
        windows=list(tally.windows.values()),
        stretches=tally.stretches,
    )


def _windows(claim: Claim, piled: dict[Hashable, _Piled]) -> dict[Hashable, Counted]:
    unit = "seconds" if claim.exact else "minutes"
    if claim.windows:
        suffix = "_seconds" if claim.exact else ""
        return {
            name: Counted(
                f"last {name}",
                0,
                (f"uptime_last_{name}{suffix}", f"downtime_last_{name}{suffix}"),
            )
            for name in _WINDOWS
        }
    columns = (f"uptime_{unit}", f"downtime_{unit}")
    return {
        key: Counted(str(key) if claim.daily else "the time asked for", row, columns)
        for row, key in enumerate(piled)
    }


def _rows(claim: Claim, piled: dict[Hashable, _Piled], tally: _Tally) -> Iterator[dict[str, Any]]:
    for number, (key, pile) in enumerate(piled.items()):
        row: dict[str, Any] = {"store_id": claim.store_id}
        if claim.daily:
            row["date"] = str(key)
        if not claim.windows:
            row |= {"start": format_instant(pile.start), "end": format_instant(pile.end)}
        for window in tally.windows.values():
            if window.row == number:
                columns = (*window.columns, *unknown_columns_of(window.columns))
                amounts = (window.up, window.down, window.unknown_up, window.unknown_down)
                for column, amount in zip(columns, amounts, strict=True):
                    row[column] = _figure(column, amount)
        yield row | {"polls_counted": pile.polls, "coverage": pile.coverage()}


def _figure(column: str, amount: int) -> float:
    """As the column has it: seconds, minutes, or hours with two decimals."""
    if column.endswith("_seconds"):
        return amount / SECOND
    return round(amount / 60, 2) if column.endswith(("_day", "_week")) else amount
