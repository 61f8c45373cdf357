"""Recomputes the figures of a report with the reference model, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stream_app.domain.report_spec import unknown_columns_of
from stream_app.domain.timestamps import DAY, HOUR, SECOND, WEEK, format_instant
from stream_app.explain.reference_model import PollPolicy, ReferenceModel

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from stream_app.explain.reference_model import Row, Step
    from stream_app.explain.reported import ReportedResult

_WINDOWS: Final = {"hour": HOUR, "day": DAY, "week": WEEK}


@dataclass(slots=True)
class WindowCount:
    """The open time of a window: in minutes, or in µs for exact figures.

    Attributes:
        name: the name of the window in the output.
        row: index of the reported row that has its figures.
        columns: the names of the columns of its uptime and its downtime.
        up: the open time with status active.
        down: the open time with status inactive.
        unknown_up: the part of `up` that no poll covers.
        unknown_down: the part of `down` that no poll covers.
    """

    name: str
    row: int
    columns: tuple[str, str]
    up: int = 0
    down: int = 0
    unknown_up: int = 0
    unknown_down: int = 0

    def add(self, amount: int, step: Step) -> None:
        """Add a step in which the store is open."""
        unknown = 0 if step.covered else amount
        if step.active:
            self.up += amount
            self.unknown_up += unknown
        else:
            self.down += amount
            self.unknown_down += unknown


@dataclass(slots=True)
class StatusRun:
    """One unbroken time of one status.

    Attributes:
        start: µs.
        end: µs.
        active: the status.
        poll: instant of the first poll of the run, µs; None if the default status applies.
        last_poll: instant of the newest poll of the run, µs.
        open: the open time in it: in minutes, or in µs for exact figures.
    """

    start: int
    end: int
    active: bool
    poll: int | None
    last_poll: int | None
    open: int = 0


@dataclass(slots=True)
class Recomputation:
    """The recomputed figures of a report.

    Attributes:
        rows: the rows of the report, by column.
        polls_counted: the number of polls in the whole range and in the lookback before it.
        coverage: the coverage of the whole range.
        windows: the open time of each window.
        status_runs: the runs of one status, oldest first.
    """

    rows: list[dict[str, Any]]
    polls_counted: int
    coverage: float | None
    windows: list[WindowCount]
    status_runs: list[StatusRun]


@dataclass(slots=True)
class _RowTotals:
    """Open and covered time of a row, in µs, and its number of polls."""

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
class _Accumulator:
    """Adds up steps in order: open time by window, and runs of one status."""

    exact: bool
    windows: dict[Hashable, WindowCount] = field(default_factory=dict)
    status_runs: list[StatusRun] = field(default_factory=list)

    def add(self, step: Step, keys: Iterable[Hashable]) -> None:
        amount = step.end - step.start if self.exact else 1
        last = self.status_runs[-1] if self.status_runs else None
        by_default = step.poll is None
        if last is None or (last.active, last.poll is None) != (step.active, by_default):
            last = StatusRun(step.start, step.end, step.active, step.poll, step.poll)
            self.status_runs.append(last)
        last.end, last.last_poll = step.end, step.poll
        if not step.open:
            return
        last.open += amount
        for key in keys:
            self.windows[key].add(amount, step)


def reference_model_of(
    reported: ReportedResult, hours: Sequence[Row] | None, polls: Iterable[tuple[int, bool]]
) -> ReferenceModel:
    """Return the reference model for the time range of a report."""
    return ReferenceModel(
        hours or [],
        reported.timezone,
        polls,
        (reported.start, reported.end),
        PollPolicy(reported.lookback, reported.stale_after, reported.default_active),
    )


def recompute(reported: ReportedResult, model: ReferenceModel) -> Recomputation:
    """Recompute all figures of a report."""
    edges = {name: reported.end - length for name, length in _WINDOWS.items()}
    cuts = (
        [edge for edge in edges.values() if edge >= reported.start] if reported.spec.windows else []
    )
    spans = list(model.constant_spans(cuts))
    totals: dict[Hashable, _RowTotals] = {}
    for span in spans:
        key = span.day if reported.spec.daily else None
        totals.setdefault(key, _RowTotals(span.start)).add(span)
    for poll in model.polls:
        if reported.start <= poll < reported.end and reported.spec.daily:
            totals[model.day_of(poll)].polls += 1
    accumulator = _Accumulator(reported.spec.exact, _windows(reported, totals))
    for step in spans if reported.spec.exact else model.minutes():
        keys: Iterable[Hashable] = (None,)
        if reported.spec.windows:
            keys = [name for name, edge in edges.items() if step.start >= edge]
        elif reported.spec.daily:
            keys = (step.day,)
        accumulator.add(step, keys)
    whole = _RowTotals(reported.start)
    for span in spans:
        whole.add(span)
    if not reported.spec.daily:
        for row in totals.values():
            row.polls = len(model.polls)
    return Recomputation(
        rows=list(_rows(reported, totals, accumulator)),
        polls_counted=len(model.polls),
        coverage=whole.coverage(),
        windows=list(accumulator.windows.values()),
        status_runs=accumulator.status_runs,
    )


def _windows(
    reported: ReportedResult, totals: dict[Hashable, _RowTotals]
) -> dict[Hashable, WindowCount]:
    unit = "seconds" if reported.spec.exact else "minutes"
    if reported.spec.windows:
        suffix = "_seconds" if reported.spec.exact else ""
        return {
            name: WindowCount(
                f"last {name}",
                0,
                (f"uptime_last_{name}{suffix}", f"downtime_last_{name}{suffix}"),
            )
            for name in _WINDOWS
        }
    columns = (f"uptime_{unit}", f"downtime_{unit}")
    return {
        key: WindowCount(str(key) if reported.spec.daily else "the requested range", row, columns)
        for row, key in enumerate(totals)
    }


def _rows(
    reported: ReportedResult, totals: dict[Hashable, _RowTotals], accumulator: _Accumulator
) -> Iterator[dict[str, Any]]:
    for number, (key, row_totals) in enumerate(totals.items()):
        row: dict[str, Any] = {"store_id": reported.store_id}
        if reported.spec.daily:
            row["date"] = str(key)
        if not reported.spec.windows:
            row |= {
                "start": format_instant(row_totals.start),
                "end": format_instant(row_totals.end),
            }
        for window in accumulator.windows.values():
            if window.row == number:
                columns = (*window.columns, *unknown_columns_of(window.columns))
                amounts = (window.up, window.down, window.unknown_up, window.unknown_down)
                for column, amount in zip(columns, amounts, strict=True):
                    row[column] = _figure(column, amount)
        yield row | {"polls_counted": row_totals.polls, "coverage": row_totals.coverage()}


def _figure(column: str, amount: int) -> float:
    """Return an amount in the unit of its column: seconds, minutes, or hours with two decimals."""
    if column.endswith("_seconds"):
        return amount / SECOND
    return round(amount / 60, 2) if column.endswith(("_day", "_week")) else amount
