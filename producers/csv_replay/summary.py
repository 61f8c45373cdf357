"""The summary of a replay: its counts, its warnings, and its completeness."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from producers.record_sink import SinkCount
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from producers.csv_replay.store_rows import StoreRows

TOPICS: Final = {
    "hours": STORE_BUSINESS_HOURS,
    "zones": STORE_TIMEZONES,
    "polls": STORE_STATUS,
}
"""The topic of each kind of rows, in the order in which the kinds are sent."""

MAX_SHOWN_WARNINGS: Final = 20
"""Warnings of one kind that are shown one by one."""


@dataclass(slots=True)
class KindCount:
    """Counts of one kind: files, rows, duplicates and rejected rows.

    A duplicate is a row that another one repeats or replaces.
    """

    files: int = 0
    rows: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Summary:
    """The result of a replay; it is up to date while the replay runs.

    Attributes:
        kinds: the counts of the rows that were read.
        topics: the counts of the records that were sent.
        seconds: the duration.
        interrupted: True if the replay was cancelled.
        notes: lines about kinds without a file or without a row.
        rejected_files: the names of the files whose rows were all rejected.
        without_hours: the stores whose rows of hours were all rejected.
    """

    kinds: dict[str, KindCount] = field(
        default_factory=lambda: {kind: KindCount() for kind in TOPICS}
    )
    topics: Mapping[str, SinkCount] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    rejected_files: list[str] = field(default_factory=list)
    without_hours: list[str] = field(default_factory=list)

    def sent(self, kind: str) -> SinkCount:
        """Return the counts of the topic of a kind."""
        return self.topics.get(TOPICS[kind].name, SinkCount())

    @property
    def started(self) -> bool:
        """Return True after the first file was opened."""
        return any(count.files for count in self.kinds.values())

    @property
    def rows(self) -> int:
        """Return the number of rows that were read, of all kinds together."""
        return sum(count.rows for count in self.kinds.values())

    @property
    def complete(self) -> bool:
        """Return True if the brokers acknowledged every accepted row and every dead letter."""
        dead_letters = self.topics.get(DEAD_LETTERS.name, SinkCount())
        rejected = sum(count.rejected for count in self.kinds.values())
        return (
            not self.interrupted
            and dead_letters.acknowledged_records == rejected
            and all(
                self.sent(kind).acknowledged_rows == count.rows - count.duplicates - count.rejected
                for kind, count in self.kinds.items()
            )
        )

    def rejection(self) -> str | None:
        """Return a line about files or stores whose rows were all rejected; None without any."""
        parts = []
        if self.rejected_files:
            parts.append(f"every row was rejected in {_named(self.rejected_files)}")
        if self.without_hours:
            count = len(self.without_hours)
            stores, their = ("1 store", "its") if count == 1 else (f"{count:,} stores", "their")
            parts.append(
                f"all hours of {stores} were rejected, so that {their} earlier ones or none apply: "
                f"{_named(self.without_hours)}"
            )
        return "; ".join(parts) or None

    def lines(self) -> Iterator[str]:
        """Yield the summary as lines of text."""
        yield (
            f"{'':6}{'files':>7}{'rows':>13}{'acknowledged':>14}"
            f"{'duplicates':>12}{'rejected':>10}{'records':>10}"
        )
        for kind, count in self.kinds.items():
            if count.files:
                sent = self.sent(kind)
                yield (
                    f"{kind:6}{count.files:>7,}{count.rows:>13,}{sent.acknowledged_rows:>14,}"
                    f"{count.duplicates:>12,}{count.rejected:>10,}{sent.acknowledged_records:>10,}"
                )
        rate = self.rows / self.seconds if self.seconds else 0.0
        yield f"{self.rows:,} rows in {self.seconds:.1f} s: {rate:,.0f} rows/s"
        yield from self.notes
        if self.interrupted:
            yield "stopped before the end; run it again: what is sent twice changes nothing"
        elif not self.complete:
            yield "not every good row was acknowledged; it is safe to run it again"


def without_rows(kind: str, default_timezone: str) -> str:
    """Return a line about the effect of a kind without any row."""
    match kind:
        case "hours":
            return (
                "no hours: all stores count as open 24/7, except those whose hours were sent before"
            )
        case "zones":
            return (
                f"no timezones: {default_timezone} applies, except to stores whose timezone was "
                "sent before"
            )
        case _:
            return "no polls: only hours and timezones are sent"


def _named(names: Sequence[str]) -> str:
    text = ", ".join(names[:MAX_SHOWN_WARNINGS])
    more = len(names) - MAX_SHOWN_WARNINGS
    return text if more <= 0 else f"{text} and {more:,} more"


def store_row_warnings(store_rows: StoreRows, default_timezone: str) -> Iterator[str]:
    """Yield warnings about rows whose effect is probably not intended.

    Args:
        store_rows: all business hours and timezones of the replay.
        default_timezone: the timezone that applies if a name is unknown.
    """
    yield from _first(
        [
            f"store {store_id}: the timezone {name!r} is unknown; {default_timezone} applies"
            for store_id, name in store_rows.unknown_timezones().items()
        ],
        "stores with unknown timezones",
    )
    yield from _first(
        [
            f"store {store_id}: {rows} rows of its hours open nothing: their start is their end"
            for store_id, rows in store_rows.never_open.items()
        ],
        "stores with hours that start and end at the same time",
    )
    yield from _first(
        [
            f"store {store_id}: every row of its hours is rejected ({rows}); its earlier hours "
            "apply, and if it has none it counts as open 24/7"
            for store_id, rows in store_rows.without_hours().items()
        ],
        "stores whose rows of hours are all rejected",
    )


def old_poll_warnings(old: Mapping[str, int], retention: int) -> Iterator[str]:
    """Yield warnings about polls that no report will count.

    Args:
        old: the number of such polls by store.
        retention: µs; polls are stored up to this age before the store's newest poll.
    """
    yield from _first(
        [
            f"store {store_id}: {polls:,} of its polls are more than STORE_UPTIME_RETENTION "
            f"({format_duration(retention)}) older than its newest one: they may not be stored"
            for store_id, polls in old.items()
        ],
        "stores with polls older than the retention",
    )


def _first(warnings: Sequence[str], what: str) -> Iterator[str]:
    for warning in warnings[:MAX_SHOWN_WARNINGS]:
        yield f"warning: {warning}"
    if len(warnings) > MAX_SHOWN_WARNINGS:
        yield f"warning: ... and {len(warnings) - MAX_SHOWN_WARNINGS:,} more {what}"
