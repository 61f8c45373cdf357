"""What a replay did: the figures, the warnings, and whether every good row arrived."""

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

    from producers.csv_replay.store_rows import Registry

TOPICS: Final = {
    "hours": STORE_BUSINESS_HOURS,
    "zones": STORE_TIMEZONES,
    "polls": STORE_STATUS,
}
"""For each kind of row, in the order in which they are sent, the topic that it goes to."""

WARNINGS_SHOWN: Final = 20


@dataclass(slots=True)
class KindCount:
    """Rows of one kind as they were read: all of them, those that say nothing new, bad ones.

    A duplicate is a row that another one repeats or replaces.
    """

    files: int = 0
    rows: int = 0
    duplicates: int = 0
    refused: int = 0


@dataclass(slots=True)
class Summary:
    """The result of a replay, kept up to date while it runs.

    Attributes:
        kinds: what was read.
        topics: what was sent.
        seconds: how long it took.
        interrupted: True where it was stopped from outside.
        notes: lines about the kinds of which there was no file, or no row.
        refused_whole: names of the files of which every row was refused.
        without_hours: the stores of which every row of hours was refused.
    """

    kinds: dict[str, KindCount] = field(
        default_factory=lambda: {kind: KindCount() for kind in TOPICS}
    )
    topics: Mapping[str, SinkCount] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    refused_whole: list[str] = field(default_factory=list)
    without_hours: list[str] = field(default_factory=list)

    def sent(self, kind: str) -> SinkCount:
        """What the topic of a kind got."""
        return self.topics.get(TOPICS[kind].name, SinkCount())

    @property
    def started(self) -> bool:
        """True once a file is being read."""
        return any(count.files for count in self.kinds.values())

    @property
    def rows(self) -> int:
        """Rows read, all kinds together."""
        return sum(count.rows for count in self.kinds.values())

    @property
    def complete(self) -> bool:
        """True where the brokers acknowledged every good row and every dead letter."""
        letters = self.topics.get(DEAD_LETTERS.name, SinkCount())
        refused = sum(count.refused for count in self.kinds.values())
        return (
            not self.interrupted
            and letters.acknowledged_records == refused
            and all(
                self.sent(kind).acknowledged_rows == count.rows - count.duplicates - count.refused
                for kind, count in self.kinds.items()
            )
        )

    def refusal(self) -> str | None:
        """What was refused so that reports are not what was meant, in one line; None: nothing."""
        parts = []
        if self.refused_whole:
            parts.append(f"every row was refused of {_named(self.refused_whole)}")
        if self.without_hours:
            parts.append(
                "all hours were refused, so that none or earlier ones apply, of "
                f"{len(self.without_hours):,} stores: {_named(self.without_hours)}"
            )
        return "; ".join(parts) or None

    def lines(self) -> Iterator[str]:
        """The summary as lines of text."""
        yield (
            f"{'':6}{'files':>7}{'rows':>13}{'acknowledged':>14}"
            f"{'duplicates':>12}{'refused':>10}{'records':>10}"
        )
        for kind, count in self.kinds.items():
            if count.files:
                sent = self.sent(kind)
                yield (
                    f"{kind:6}{count.files:>7,}{count.rows:>13,}{sent.acknowledged_rows:>14,}"
                    f"{count.duplicates:>12,}{count.refused:>10,}{sent.acknowledged_records:>10,}"
                )
        rate = self.rows / self.seconds if self.seconds else 0.0
        yield f"{self.rows:,} rows in {self.seconds:.1f} s: {rate:,.0f} rows/s"
        yield from self.notes
        if self.interrupted:
            yield "stopped before the end; running the same again is safe, doubles change nothing"
        elif not self.complete:
            yield "not every good row was acknowledged; running the same again is safe"


def nothing_of(kind: str, default_zone: str) -> str:
    """A line about what it comes to that there is no row of a kind."""
    match kind:
        case "hours":
            return "no hours: all stores count as open 24/7, but those whose hours were sent before"
        case "zones":
            return f"no zones: {default_zone} applies, but to stores whose zone was sent before"
        case _:
            return "no polls: only hours and zones are sent"


def _named(names: Sequence[str]) -> str:
    text = ", ".join(names[:WARNINGS_SHOWN])
    more = len(names) - WARNINGS_SHOWN
    return text if more <= 0 else f"{text} and {more:,} more"


def registry_warnings(registry: Registry, default_zone: str) -> Iterator[str]:
    """Lines about what the rows come to that is hardly meant.

    Args:
        registry: all hours and zones of the run.
        default_zone: the zone that applies where a name is unknown.
    """
    yield from _first(
        [
            f"store {store_id}: no zone is named {name!r}; {default_zone} applies"
            for store_id, name in registry.unknown_zones().items()
        ],
        "stores with unknown zones",
    )
    yield from _first(
        [
            f"store {store_id}: {rows} of its rows start when they end and open nothing"
            for store_id, rows in registry.never_open.items()
        ],
        "stores with hours that start when they end",
    )
    yield from _first(
        [
            f"store {store_id}: every row of its hours is refused ({rows}); the hours that it has "
            "already apply, and if it has none it counts as open 24/7"
            for store_id, rows in registry.without_hours().items()
        ],
        "stores of which every row of hours is refused",
    )


def old_poll_warnings(old: Mapping[str, int], retention: int) -> Iterator[str]:
    """Lines about polls that no report will count.

    Args:
        old: how many such polls each store has.
        retention: µs; how far behind a store's newest poll its polls are kept.
    """
    yield from _first(
        [
            f"store {store_id}: {polls:,} of its polls are more than STORE_UPTIME_RETENTION "
            f"({format_duration(retention)}) older than its newest one: they may not be kept"
            for store_id, polls in old.items()
        ],
        "stores with polls older than the retention",
    )


def _first(warnings: Sequence[str], what: str) -> Iterator[str]:
    for warning in warnings[:WARNINGS_SHOWN]:
        yield f"warning: {warning}"
    if len(warnings) > WARNINGS_SHOWN:
        yield f"warning: ... and {len(warnings) - WARNINGS_SHOWN:,} more {what}"
