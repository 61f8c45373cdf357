"""The metrics that every process of this product shows, and their registry.

The metrics live in a registry of their own, so that several can be made in one process. No label
holds a store id: every label has a small, known set of values.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from stream_app.contracts.topics import ALL_TOPICS
from stream_app.periodic import PeriodicTask
from stream_app.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import TopicPartition

    from stream_app.contracts.dead_letters import DeadLetter

DeadLetterReason = Literal[
    "invalid",
    "ahead_of_clock",
    "before_earliest",
    "older_than_retention",
    "too_many_polls",
    "too_large",
    "unreadable",
    "lost",
    "internal",
]
"""A class of the reasons of dead letters, for a label: the reasons themselves are without number.

- `invalid`: the record is not what its topic holds.
- `ahead_of_clock`: a poll is dated further ahead of the broker's clock than is tolerated.
- `before_earliest`: a poll is dated before the setting EARLIEST_POLL.
- `older_than_retention`: a poll came when its store had others more than the retention newer.
- `too_many_polls`: a store has more polls in one week than are kept.
- `too_large`: a record does not fit where it has to go.
- `unreadable`: a batch of records cannot be unpacked.
- `lost`: records were gone from the topic before a worker read them.
- `internal`: a fault of this product.
"""

_REASONS: Final[tuple[tuple[DeadLetterReason, re.Pattern[str]], ...]] = (
    ("internal", re.compile(r"internal error")),
    ("ahead_of_clock", re.compile(r".*lies ahead of the clock", re.DOTALL)),
    ("before_earliest", re.compile(r".*\(STORE_UPTIME_EARLIEST_POLL\)", re.DOTALL)),
    ("older_than_retention", re.compile(r".*older than STORE_UPTIME_RETENTION", re.DOTALL)),
    ("too_many_polls", re.compile(r".*more than \d+ polls of one store in one week", re.DOTALL)),
    ("lost", re.compile(r"lost: ")),
    ("too_large", re.compile(r"too large")),
)

LAST_OFFSET: Final = "last_offset"
"""The field of a dead letter's source that names the end of a range that cannot be read."""

_TOPIC_NAMES: Final = frozenset(spec.name for spec in ALL_TOPICS)

DELAY_LOOK_SECONDS: Final = 0.25
"""Seconds between two measurements of the event loop's delay."""

_DELAY_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


def unowned_count(unowned: Iterable[TopicPartition]) -> int:
    """Count the partitions of which at least one source topic has no owner."""
    return len({partition.partition for partition in unowned})


def reason_label(dead_letter: DeadLetter) -> DeadLetterReason:
    """Return the label for the reason of a dead letter."""
    if LAST_OFFSET in dead_letter.source:
        # only a range that cannot be read is named by two offsets
        return "unreadable"
    for name, pattern in _REASONS:
        if pattern.match(dead_letter.reason):
            return name
    return "invalid"


def source_label(dead_letter: DeadLetter) -> str:
    """Return the label for the source of a dead letter: a topic, `http`, or `other`."""
    if "http" in dead_letter.source:
        return "http"
    return topic_label(dead_letter.source.get("topic"))


def topic_label(topic: object) -> str:
    """Return the label for a topic: its name, or `other` for one that is not of this product."""
    return str(topic) if topic in _TOPIC_NAMES else "other"


def new_registry() -> CollectorRegistry:
    """Make a registry with the metrics that every process of this product shows."""
    # the time of its creation, as a series of its own beside each counter and histogram, is
    # process_start_time_seconds again; the library can leave it out for the whole process only
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Gauge(
        "store_uptime_build_info",
        "Always 1; the label is the version of this program.",
        ["version"],
        registry=registry,
    )
    build.labels(__version__).set(1)
    return registry


class DeadLetterCounter:
    """Counts dead letters by source and class of reason."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._dead_letters = Counter(
            "store_uptime_dead_letters",
            "Dead letters that this process wrote, by where the original came from and why it "
            "was rejected.",
            ["source", "reason"],
            registry=registry,
        )

    def count(self, dead_letter: DeadLetter) -> None:
        """Count a dead letter."""
        self._dead_letters.labels(source_label(dead_letter), reason_label(dead_letter)).inc()


class EventLoopDelay:
    """Measures how late the event loop calls timers: work that keeps it busy delays all others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._delays = Histogram(
            "store_uptime_event_loop_delay_seconds",
            "How late the event loop ran a timer that was due, measured four times a second.",
            buckets=_DELAY_SECONDS,
            registry=registry,
        )
        self._task = PeriodicTask("event-loop-delay", 0, self._measure)

    def start(self) -> None:
        """Measure from now on, in a task of its own."""
        self._task.start()

    async def stop(self) -> None:
        """Stop measuring."""
        await self._task.stop()

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + DELAY_LOOK_SECONDS
        await asyncio.sleep(DELAY_LOOK_SECONDS)
        self._delays.observe(max(loop.time() - due, 0.0))
