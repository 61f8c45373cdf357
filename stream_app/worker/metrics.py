"""The metrics of a worker for `GET /metrics`: their names, labels and meanings.

Nothing here is called once a record: the rest of the worker reports rare events. Values that can
be read at any time (the lag, unacknowledged records) are read from `WorkerSources` when the
metrics are asked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from prometheus_client import (
    Counter,
    Histogram,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest

from stream_app.metrics import (
    LAST_OFFSET,
    DeadLetterCounter,
    EventLoopDelay,
    new_registry,
    source_label,
    topic_label,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from aiokafka import TopicPartition
    from prometheus_client.core import Metric

    from stream_app.contracts.dead_letters import DeadLetter

RemovalReason = Literal["damaged", "diverged", "ahead", "no_checkpoint", "incomplete"]
"""The reason why a partition's database is removed and restored from its changelog:

- `damaged`: RocksDB found a block that it cannot read.
- `diverged`: the changelog has another record at the last offset that the database has applied.
- `ahead`: the database is at an offset that its changelog has not reached.
- `no_checkpoint`: the database does not say up to which record it agrees with its changelog.
- `incomplete`: the records between its checkpoint and the end cannot all be accounted for.
"""

DropReason = Literal["late", "expired"]
"""The reason why polls are not kept:

- `late`: they came when their store had others more than the retention newer: dead letters.
- `expired`: much newer ones of their store came, and took their place.
"""

CheckOutcome = Literal["agrees", "differs", "not_comparable"]
"""The outcome of a check of the watchman."""

_RESTORE_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 300.0)


class SourceLag(NamedTuple):
    """The lag of a source partition: records that are not applied yet.

    Attributes:
        records: offsets between the next record to apply and the end of the partition.
        seconds: age of the oldest record that is not applied; 0 if all records are applied; None if
            the age is not known.
    """

    records: int
    seconds: float | None


class ChangelogLag(NamedTuple):
    """The lag of a partition's local database behind its changelog.

    Attributes:
        restored: offsets that have been read since the checkpoint of the database.
        remaining: offsets that have yet to be read.
    """

    restored: int
    remaining: int


class Unacknowledged(NamedTuple):
    """Records that were handed to the broker, or wait for it, and are not acknowledged yet."""

    records: int
    value_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerSources:
    """Functions that are called when the metrics are asked for; until then they cost nothing.

    Attributes:
        lags: the lag of every owned source partition, as it was looked up last.
        unowned_partitions: the number of partitions that have no owner.
        changelog_unacknowledged: the changelog records that the broker has yet to acknowledge.
        restores: the lag of every partition whose changelog is being read.
    """

    lags: Callable[[], Mapping[TopicPartition, SourceLag]]
    unowned_partitions: Callable[[], int]
    changelog_unacknowledged: Callable[[], Unacknowledged]
    restores: Callable[[], Mapping[int, ChangelogLag]]


class WorkerMetrics:
    """The metrics of one worker.

    Args:
        monotonic: a clock in seconds that never goes back.

    Attributes:
        registry: the metrics that `GET /metrics` shows.
        event_loop_delay: measures how late the event loop is.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry = new_registry()
        self._dead_letters = DeadLetterCounter(registry)
        self.event_loop_delay = EventLoopDelay(registry)
        self._monotonic = monotonic
        self._assigned: frozenset[int] | None = None
        self._waiting_since: dict[int, float] = {}
        self._owned: frozenset[int] = frozenset()
        self._sources: WorkerSources | None = None
        self._rebalances = Counter(
            "store_uptime_rebalances",
            "Rebalances of the workers' group that this worker took part in.",
            registry=registry,
        )
        self._fencings = Counter(
            "store_uptime_fencings",
            "Partitions that another worker had claimed while this one was paused or cut off.",
            registry=registry,
        )
        self._removed_databases = Counter(
            "store_uptime_removed_databases",
            "Databases of a partition that were removed to be read back from the changelog.",
            ["reason"],
            registry=registry,
        )
        self._unread_records = Counter(
            "store_uptime_unread_records",
            "Records that could not be read and were stepped over.",
            ["topic"],
            registry=registry,
        )
        self._lost_records = Counter(
            "store_uptime_lost_records",
            "Offsets that were gone from a source topic before a worker had applied them.",
            ["topic"],
            registry=registry,
        )
        self._dropped_polls = Counter(
            "store_uptime_dropped_polls",
            "Polls that are not kept because their store has others more than the retention newer.",
            ["reason"],
            registry=registry,
        )
        self._watchman_checks = Counter(
            "store_uptime_watchman_checks",
            "Stores whose figures the watchman recomputed from the topics, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._restore_seconds = Histogram(
            "store_uptime_partition_restore_seconds",
            "Time from the assignment of a partition until this worker owned it.",
            buckets=_RESTORE_SECONDS,
            registry=registry,
        )
        # a series that begins at 0 is one whose first event an alarm sees
        for reason in get_args(RemovalReason):
            self._removed_databases.labels(reason)
        for dropped in get_args(DropReason):
            self._dropped_polls.labels(dropped)
        for outcome in get_args(CheckOutcome):
            self._watchman_checks.labels(outcome)
        registry.register(_WorkerCollector(self))

    def read_from(self, sources: WorkerSources) -> None:
        """Read the gauges from these sources from now on."""
        self._sources = sources

    def rebalanced(self) -> None:
        """Count a rebalance; call it when one begins."""
        self._rebalances.inc()

    def fenced(self) -> None:
        """Count a partition that another worker claimed while this one was paused or cut off."""
        self._fencings.inc()

    def database_removed(self, reason: RemovalReason) -> None:
        """Count a partition's database that is removed."""
        self._removed_databases.labels(reason).inc()

    def records_unread(self, topic: str, count: int = 1) -> None:
        """Count records that cannot be read: offsets of a batch, or a stray record."""
        self._unread_records.labels(topic_label(topic)).inc(count)

    def records_lost(self, topic: str, count: int) -> None:
        """Count offsets that were gone from a source topic before they were applied."""
        self._lost_records.labels(topic_label(topic)).inc(count)

    def dead_letter(self, dead_letter: DeadLetter) -> None:
        """Count a dead letter of a worker, and the records of a range that cannot be read."""
        self._dead_letters.count(dead_letter)
        first, last = (dead_letter.source.get(name) for name in ("offset", LAST_OFFSET))
        if isinstance(first, int) and isinstance(last, int):
            self.records_unread(source_label(dead_letter), last - first + 1)

    def polls_dropped(self, reason: DropReason, count: int) -> None:
        """Count polls that are not kept."""
        self._dropped_polls.labels(reason).inc(count)

    def watchman_checked(self, outcome: CheckOutcome) -> None:
        """Count a store that the watchman has checked."""
        self._watchman_checks.labels(outcome).inc()

    def assigned(self, partitions: Collection[int]) -> None:
        """Set the partitions that the group assigns to this worker; others were revoked."""
        self._assigned = now_assigned = frozenset(partitions)
        now = self._monotonic()
        self._waiting_since = {
            # one that was interrupted by a rebalance and stays has waited all the time
            partition: self._waiting_since.get(partition, now)
            for partition in now_assigned - self._owned
        }

    def owned(self, partitions: Collection[int]) -> None:
        """Set the partitions that this worker owns now."""
        now_owned = frozenset(partitions)
        for partition in now_owned - self._owned:
            now = self._monotonic()
            self._restore_seconds.observe(now - self._waiting_since.pop(partition, now))
        self._owned = now_owned

    def not_ready(self) -> str | None:
        """Return why this worker does not own all its assigned partitions; None if it does."""
        if self._assigned is None:
            return "the group has not assigned any partitions to this worker yet"
        missing = sorted(self._assigned - self._owned)
        if not missing:
            return None
        return (
            f"{len(missing)} of {len(self._assigned)} partitions are not owned yet: "
            + "; ".join(self._restore_text(partition) for partition in missing)
        )

    def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _restore_text(self, partition: int) -> str:
        restore = self._restores().get(partition)
        if restore is None:
            return f"partition {partition} waits"
        restored, remaining = restore
        all_records = f"{restored + remaining:,} changelog records"
        return f"partition {partition} has restored {restored:,} of {all_records}"

    def _restores(self) -> Mapping[int, ChangelogLag]:
        return {} if self._sources is None else self._sources.restores()

    def _collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "store_uptime_assigned_partitions",
            "Partitions that the group has assigned to this worker.",
            value=len(self._assigned or ()),
        )
        yield GaugeMetricFamily(
            "store_uptime_owned_partitions",
            "Partitions that this worker owns: it applies their records and answers for them.",
            value=len(self._owned),
        )
        done = GaugeMetricFamily(
            "store_uptime_restore_done_records",
            "Changelog offsets that the restore of a partition has read; only while it lasts.",
            labels=["partition"],
        )
        to_do = GaugeMetricFamily(
            "store_uptime_restore_to_do_records",
            "Changelog offsets that the restore of a partition has yet to read; only while it "
            "lasts.",
            labels=["partition"],
        )
        standby = GaugeMetricFamily(
            "store_uptime_standby_lag_records",
            "Changelog offsets that this worker's copy of somebody else's partition lacks.",
            labels=["partition"],
        )
        for partition, restore in sorted(self._restores().items()):
            if partition not in (self._assigned or ()):
                standby.add_metric([str(partition)], restore.remaining)
            elif partition not in self._owned:
                done.add_metric([str(partition)], restore.restored)
                to_do.add_metric([str(partition)], restore.remaining)
        yield from (done, to_do, standby)
        if self._sources is not None:
            yield from _read(self._sources)


class _WorkerCollector:
    """Reads the gauges when the registry is asked for them."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics._collect()  # noqa: SLF001  of this module


def _read(sources: WorkerSources) -> Iterator[Metric]:
    records = GaugeMetricFamily(
        "store_uptime_source_lag_records",
        "Offsets of an owned source partition that are not applied yet.",
        labels=["topic", "partition"],
    )
    seconds = GaugeMetricFamily(
        "store_uptime_source_lag_seconds",
        "Age of the oldest record of an owned source partition that is not applied yet; 0: all "
        "are applied.",
        labels=["topic", "partition"],
    )
    for (topic, partition), lag in sorted(sources.lags().items()):
        records.add_metric([topic, str(partition)], lag.records)
        if lag.seconds is not None:
            seconds.add_metric([topic, str(partition)], lag.seconds)
    yield from (records, seconds)
    yield GaugeMetricFamily(
        "store_uptime_unowned_partitions",
        "Partitions that no worker of the group has spoken for lately, as this process sees it.",
        value=sources.unowned_partitions(),
    )
    waiting = sources.changelog_unacknowledged()
    yield GaugeMetricFamily(
        "store_uptime_changelog_unacknowledged_records",
        "Changelog records that the broker has yet to acknowledge.",
        value=waiting.records,
    )
    yield GaugeMetricFamily(
        "store_uptime_changelog_unacknowledged_bytes",
        "Bytes of the values of changelog records that the broker has yet to acknowledge.",
        value=waiting.value_bytes,
    )
