"""The topics of this product, with the name, key, partitions, clean-up and size of each.

Co-partitioned topics have the same number of partitions (setting PARTITIONS), so that one worker
owns all facts of a store and its report requests.
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
"""The consumer group of the workers, and the prefix of the names of table changelogs."""

WEBHOOKS_GROUP: Final = f"{APP_ID}-webhooks"
"""The consumer group of the API processes that deliver webhooks."""

MAX_RECORD_BYTES: Final = 1_000_000
"""The largest record that a client may send, in bytes."""

MAX_STATE_BYTES: Final = 8_000_000
"""The largest record of a changelog or of a dead letter, in bytes.
A dead letter contains a whole record."""

_HOUR_MS: Final = 3600 * 1000
_WEEK_MS: Final = 7 * 24 * 3600 * 1000
_FOREVER_MS: Final = -1
_TOMBSTONES_KEPT: Final = {"delete.retention.ms": str(100 * 365 * 24 * 3600 * 1000)}
"""Tombstones of hours and timezones stay for a hundred years: without one, an older record, which
a worker forwarded under another key, would count again."""

_STORE_OR_FORWARDED: Final = (
    "store id; of a record that a worker forwarded: store id, @, the partition that it came on"
)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it is created.

    Attributes:
        name: the topic's full name in Kafka.
        key: the record key, in words.
        value: the record value, in words.
        copartitioned: True for PARTITIONS partitions, False for one partition.
        cleanup: Kafka's cleanup.policy.
        retention_ms: the retention of records if the policy deletes, in milliseconds; -1: for ever.
        retention_setting: the name of the Settings field (µs) that overrides retention_ms.
        max_mb_setting: the Settings field with the topic's largest size, in MB; None for no limit.
        max_message_bytes: the largest record, in bytes.
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
        """Return the number of partitions under these settings."""
        return settings.partitions if self.copartitioned else 1

    def retention(self, settings: Settings) -> int:
        """Return the retention of records if the policy deletes, in milliseconds; -1: for ever."""
        if self.retention_setting is None:
            return self.retention_ms
        return int(getattr(settings, self.retention_setting)) // 1000

    def max_bytes(self, settings: Settings) -> int:
        """Return the bytes beyond which a partition's oldest records are deleted; -1: no bound."""
        if self.max_mb_setting is None:
            return -1
        return int(getattr(settings, self.max_mb_setting)) * 1_000_000

    def configs(self, settings: Settings) -> dict[str, str]:
        """Return Kafka's topic configuration under these settings."""
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
            # no record is deleted before its time, perhaps unread, because there are many
            configs["retention.bytes"] = str(self.max_bytes(settings))
        if self.cleanup == "compact,delete":
            # the first final status of a report counts: all are stored until they expire
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
    value="all business hours of a store; no value: they are removed",
    cleanup="compact",
    config=_TOMBSTONES_KEPT,
)
STORE_TIMEZONES: Final = TopicSpec(
    name=prefixed("store-timezones"),
    key=_STORE_OR_FORWARDED,
    value="the timezone of a store; no value: it is removed",
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
    value="the URL that gets a POST when a report is complete or failed",
    retention_setting="report_retention",
)
STORE_QUERIES: Final = TopicSpec(
    name=prefixed("store-queries"),
    key="store id",
    value="a query: a request whose result nobody fetches later",
    retention_ms=_HOUR_MS,
    config={"segment.ms": "600000"},
)
QUERY_RESULTS: Final = TopicSpec(
    name=prefixed("query-results"),
    key="report id",
    value="status changes and the result",
    retention_ms=_HOUR_MS,
    config={"segment.ms": "600000"},
)
LATEST_POLLS: Final = TopicSpec(
    name=prefixed("latest-polls"),
    key="store id",
    value="the newest poll of a store; no value: the store has no poll any more",
    cleanup="compact",
)
STORES: Final = TopicSpec(
    name=prefixed("stores"),
    key="store id",
    value="a store that exists; no value: the store does not exist any more",
    cleanup="compact",
)
WATERMARKS: Final = TopicSpec(
    name=prefixed("watermarks"),
    key="topic/partition",
    value="the applied offset of a source partition and its newest poll, or a restore",
    copartitioned=False,
    retention_ms=_HOUR_MS,
    config={"segment.ms": "600000"},
)
DEAD_LETTERS: Final = TopicSpec(
    name=prefixed("dead-letters"),
    key="the source of the original",
    value="source, reason and the original bytes",
    copartitioned=False,
    retention_ms=30 * 24 * 3600 * 1000,
    # every client that may send can fill it, and a full disk is worse than a lost dead letter
    max_mb_setting="dead_letters_mb",
    max_message_bytes=MAX_STATE_BYTES,
    # Kafka deletes whole segments: without this, a topic could exceed the bound by a gigabyte
    config={"segment.bytes": "67108864"},
)


def results_of(requests: str) -> TopicSpec:
    """Return the topic with the results of the requests of a topic."""
    return QUERY_RESULTS if requests == STORE_QUERIES.name else REPORT_RESULTS


def changelog(table: str) -> TopicSpec:
    """Return the changelog topic of a worker's table, named as Faust names it."""
    return TopicSpec(
        name=f"{APP_ID}-{table}-changelog",
        key="table key",
        value="table value",
        cleanup="compact",
        max_message_bytes=MAX_STATE_BYTES,
        config={"message.timestamp.type": "CreateTime"},
    )


FACTS_TABLE: Final = "facts"
"""The one table of the workers: all facts of a store, under keys that begin with its id."""

SOURCE_TOPICS: Final = (STORE_STATUS, STORE_BUSINESS_HOURS, STORE_TIMEZONES)
"""The topics that a report is computed from: a report waits until their records are applied."""

REQUEST_TOPICS: Final = (REPORT_REQUESTS, STORE_QUERIES)
"""The topics of requests that a worker answers from its table."""

CONSUMED_TOPICS: Final = (*SOURCE_TOPICS, *REQUEST_TOPICS)
"""The topics that the workers' consumer group reads."""

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
