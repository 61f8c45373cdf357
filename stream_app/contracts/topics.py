"""Every topic: name, key, partitions, clean-up, size.

Co-partitioned topics have one partition count (setting PARTITIONS), so that all facts of
one store and its report requests are owned by one worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from stream_app.contracts.names import prefixed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.settings import Settings

Cleanup = Literal["delete", "compact", "compact,delete"]

APP_ID: Final = prefixed("store-uptime")
"""Consumer group of the workers, and prefix of the table changelogs."""

WEBHOOKS_GROUP: Final = f"{APP_ID}-webhooks"
"""Consumer group of the API processes that deliver webhooks."""

MAX_RECORD_BYTES: Final = 1_000_000
"""Largest record that a client may send."""

MAX_STATE_BYTES: Final = 8_000_000
"""Largest record of a table changelog or of a dead letter (which wraps a whole record)."""

_HOUR_MS: Final = 3600 * 1000
_WEEK_MS: Final = 7 * 24 * 3600 * 1000
_FOREVER_MS: Final = -1
_TOMBSTONES_KEPT: Final = {"delete.retention.ms": str(100 * 365 * 24 * 3600 * 1000)}
"""A record without a value takes hours or a zone back: without it an older one, which a worker
forwarded under another key, would count again."""

_STORE_OR_FORWARDED: Final = (
    "store id; of a record that a worker forwarded: store id, @, the partition that it came on"
)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it is created.

    Attributes:
        name: the topic's full name in Kafka.
        key: what the record key is, in words.
        value: what the record value is, in words.
        copartitioned: True takes PARTITIONS partitions, False one partition.
        cleanup: Kafka's cleanup.policy.
        retention_ms: how long records are kept where the policy deletes; -1 for ever.
        retention_setting: name of the Settings field (µs) that overrides retention_ms.
        max_mb_setting: name of the Settings field that bounds its size, in MB; None: no bound.
        max_message_bytes: the largest record.
        config: further topic settings.
    """

    name: str
    key: str
    value: str
    copartitioned: bool = True
    cleanup: Cleanup = "delete"
    retention_ms: int = _FOREVER_MS
    retention_setting: str | None = None
    max_mb_setting: str | None = None
    max_message_bytes: int = MAX_RECORD_BYTES
    config: Mapping[str, str] = field(default_factory=dict)

    def partitions(self, settings: Settings) -> int:
        """Number of partitions under these settings."""
        return settings.partitions if self.copartitioned else 1

    def retention(self, settings: Settings) -> int:
        """Milliseconds for which records are kept where the policy deletes; -1 for ever."""
        if self.retention_setting is None:
            return self.retention_ms
        return int(getattr(settings, self.retention_setting)) // 1000

    def max_bytes(self, settings: Settings) -> int:
        """Bytes beyond which the oldest records of a partition go; -1: there is no bound."""
        if self.max_mb_setting is None:
            return -1
        return int(getattr(settings, self.max_mb_setting)) * 1_000_000

    def configs(self, settings: Settings) -> dict[str, str]:
        """Kafka's topic configuration under these settings."""
        retention_ms = str(self.retention(settings))
        configs = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_message_bytes),
            # two copies hold a record before it is acknowledged, where there are three
            "min.insync.replicas": "2" if settings.replication >= 3 else "1",
            # the broker's time decides what lies in the future, so that a replay decides alike
            "message.timestamp.type": "LogAppendTime",
            # a broker that lacks acknowledged records must not become the leader
            "unclean.leader.election.enable": "false",
            **self.config,
        }
        if "delete" in self.cleanup:
            configs["retention.ms"] = retention_ms
            # nothing goes before its time, unread perhaps, because there is much of it
            configs["retention.bytes"] = str(self.max_bytes(settings))
        if self.cleanup == "compact,delete":
            # the first final status of a report is the one that counts: keep all until they expire
            configs["min.compaction.lag.ms"] = retention_ms
        return configs


STORE_STATUS: Final = TopicSpec(
    name=prefixed("store-status"),
    key="store id",
    value="one poll, a batch of polls of one store, or the removal of its polls",
    retention_ms=_WEEK_MS,
)
STORE_BUSINESS_HOURS: Final = TopicSpec(
    name=prefixed("store-business-hours"),
    key=_STORE_OR_FORWARDED,
    value="all rows of a store; no value: they are taken back",
    cleanup="compact",
    config=_TOMBSTONES_KEPT,
)
STORE_TIMEZONES: Final = TopicSpec(
    name=prefixed("store-timezones"),
    key=_STORE_OR_FORWARDED,
    value="the zone of a store; no value: it is taken back",
    cleanup="compact",
    config=_TOMBSTONES_KEPT,
)
REPORT_REQUESTS: Final = TopicSpec(
    name=prefixed("report-requests"),
    key="store id",
    value="a request for a report",
    retention_setting="report_retention",
)
REPORT_RESULTS: Final = TopicSpec(
    name=prefixed("report-results"),
    key="report id",
    value="status changes and the result",
    cleanup="compact,delete",
    retention_setting="report_retention",
    config={"segment.ms": "3600000"},
)
WEBHOOKS: Final = TopicSpec(
    name=prefixed("webhooks"),
    key="report id",
    value="who is told when a report is complete or failed",
    retention_setting="report_retention",
)
STORE_QUERIES: Final = TopicSpec(
    name=prefixed("store-queries"),
    key="store id",
    value="a request whose answer nobody fetches later",
    retention_ms=_HOUR_MS,
    config={"segment.ms": "600000"},
)
QUERY_RESULTS: Final = TopicSpec(
    name=prefixed("query-results"),
    key="report id",
    value="status changes and the answer",
    retention_ms=_HOUR_MS,
    config={"segment.ms": "600000"},
)
LATEST_POLLS: Final = TopicSpec(
    name=prefixed("latest-polls"),
    key="store id",
    value="the newest poll of a store; no value: it has none any more",
    cleanup="compact",
)
STORES: Final = TopicSpec(
    name=prefixed("stores"),
    key="store id",
    value="a store that exists; no value: it does not any more",
    cleanup="compact",
)
WATERMARKS: Final = TopicSpec(
    name=prefixed("watermarks"),
    key="topic/partition",
    value="how far a source partition is applied, and its newest poll",
    copartitioned=False,
    retention_ms=_HOUR_MS,
    config={"segment.ms": "600000"},
)
DEAD_LETTERS: Final = TopicSpec(
    name=prefixed("dead-letters"),
    key="where the original stood",
    value="source, reason and the original bytes",
    copartitioned=False,
    retention_ms=30 * 24 * 3600 * 1000,
    # anybody who may send can fill it, and a full disk is worse than a lost letter
    max_mb_setting="dead_letters_mb",
    max_message_bytes=MAX_STATE_BYTES,
    # whole segments go: without this the bound could be exceeded by a gigabyte
    config={"segment.bytes": "67108864"},
)


def results_of(requests: str) -> TopicSpec:
    """Where what a request topic asks for is answered."""
    return QUERY_RESULTS if requests == STORE_QUERIES.name else REPORT_RESULTS


def changelog(table: str) -> TopicSpec:
    """The changelog topic of a worker's table, named as Faust names it."""
    return TopicSpec(
        name=f"{APP_ID}-{table}-changelog",
        key="table key",
        value="table value",
        cleanup="compact",
        max_message_bytes=MAX_STATE_BYTES,
        config={"message.timestamp.type": "CreateTime"},
    )


FACTS_TABLE: Final = "facts"
"""The one table of the workers: all that is known of a store, under keys that begin with its id."""

SOURCE_TOPICS: Final = (STORE_STATUS, STORE_BUSINESS_HOURS, STORE_TIMEZONES)
"""What a report is computed from: a report waits until these are applied."""

REQUEST_TOPICS: Final = (REPORT_REQUESTS, STORE_QUERIES)
"""What a worker answers from its table."""

CONSUMED_TOPICS: Final = (*SOURCE_TOPICS, *REQUEST_TOPICS)
"""What the workers' consumer group reads."""

ALL_TOPICS: Final = (
    *CONSUMED_TOPICS,
    REPORT_RESULTS,
    QUERY_RESULTS,
    WEBHOOKS,
    LATEST_POLLS,
    STORES,
    WATERMARKS,
    DEAD_LETTERS,
    changelog(FACTS_TABLE),
)
