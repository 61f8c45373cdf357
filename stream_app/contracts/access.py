"""The use that each process makes of topics, consumer groups and transactional ids.

The checks at the start ask for exactly these rights, and the table in `docs/how-to/cluster.md` is
made of them. A topic that a process uses from now on must be added here: the tests on a broker with
ACLs give each process exactly these rights.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stream_app.contracts.topics import (
    ALL_TOPICS,
    APP_ID,
    CONSUMED_TOPICS,
    DEAD_LETTERS,
    FACTS_TABLE,
    LATEST_POLLS,
    QUERY_RESULTS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    REQUEST_TOPICS,
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_TIMEZONES,
    STORES,
    WATERMARKS,
    WEBHOOKS,
    WEBHOOKS_GROUP,
    changelog,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings


class Operation(StrEnum):
    """An operation of Kafka's ACLs, as Kafka's own commands write it."""

    READ = "Read"
    WRITE = "Write"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


class Process(StrEnum):
    """A kind of process that speaks to Kafka."""

    UP = "up"
    WORKER = "worker"
    API = "api"
    API_WITH_WEBHOOKS = "api, with webhooks"
    REPLAY = "replay"
    SIMULATE = "simulate"
    LIST_DEAD_LETTERS = "dead-letters list, show"
    REPLAY_DEAD_LETTERS = "dead-letters replay"
    EXPLAIN = "explain"


@dataclass(frozen=True, slots=True)
class Access:
    """The use that one kind of process makes of Kafka.

    Attributes:
        reads: the topics whose records it reads.
        writes: the topics to which it sends records.
        describes: the topics that it creates, or whose end offsets it reads, and nothing more.
        checks: True if it compares the settings of all these topics with the required ones.
        groups: the consumer groups that it joins.
        transactional: the topics for each partition of which it has a transactional id.
    """

    reads: tuple[TopicSpec, ...] = ()
    writes: tuple[TopicSpec, ...] = ()
    describes: tuple[TopicSpec, ...] = ()
    checks: bool = True
    groups: tuple[str, ...] = ()
    transactional: tuple[TopicSpec, ...] = ()

    @property
    def topics(self) -> tuple[TopicSpec, ...]:
        """Return all topics that the process uses, each once."""
        used = _names((*self.reads, *self.writes, *self.describes))
        return tuple(spec for spec in ALL_TOPICS if spec.name in used)

    def operations(self, spec: TopicSpec) -> tuple[Operation, ...]:
        """Return the operations that ACLs must allow on a topic, without implied ones."""
        done = [
            operation
            for operation, specs in ((Operation.READ, self.reads), (Operation.WRITE, self.writes))
            if spec.name in _names(specs)
        ]
        if self.checks:
            done.append(Operation.DESCRIBE_CONFIGS)
        # Read and Write imply Describe; DescribeConfigs does not
        if Operation.READ not in done and Operation.WRITE not in done:
            done.insert(0, Operation.DESCRIBE)
        return tuple(done)


def _names(specs: Iterable[TopicSpec]) -> frozenset[str]:
    return frozenset(spec.name for spec in specs)


_CHANGELOG: Final = changelog(FACTS_TABLE)
_REGISTRY: Final = (STORE_BUSINESS_HOURS, STORE_TIMEZONES)
_RESULTS: Final = (REPORT_RESULTS, QUERY_RESULTS)

_WORKER: Final = Access(
    # the watchman reads the dead letters
    reads=(*CONSUMED_TOPICS, WATERMARKS, DEAD_LETTERS, _CHANGELOG),
    # a record that came on a wrong partition is forwarded to the partition of its store
    writes=(
        *CONSUMED_TOPICS,
        *_RESULTS,
        LATEST_POLLS,
        STORES,
        WATERMARKS,
        DEAD_LETTERS,
        _CHANGELOG,
    ),
    groups=(APP_ID,),
    transactional=(_CHANGELOG,),
)
_API_READS: Final = (*REQUEST_TOPICS, *_RESULTS, STORES, *_REGISTRY, LATEST_POLLS, WATERMARKS)
_API_WRITES: Final = (*CONSUMED_TOPICS, DEAD_LETTERS)

ACCESS: Final[dict[Process, Access]] = {
    Process.UP: Access(describes=ALL_TOPICS),
    Process.WORKER: _WORKER,
    Process.API: Access(reads=_API_READS, writes=_API_WRITES),
    Process.API_WITH_WEBHOOKS: Access(
        reads=(*_API_READS, WEBHOOKS),
        writes=(*_API_WRITES, WEBHOOKS),
        groups=(WEBHOOKS_GROUP,),
    ),
    Process.REPLAY: Access(writes=(*SOURCE_TOPICS, DEAD_LETTERS)),
    Process.SIMULATE: Access(writes=SOURCE_TOPICS),
    Process.LIST_DEAD_LETTERS: Access(reads=(DEAD_LETTERS,), checks=False),
    Process.REPLAY_DEAD_LETTERS: Access(
        reads=(DEAD_LETTERS, *_REGISTRY), writes=(*SOURCE_TOPICS, REPORT_REQUESTS, WEBHOOKS)
    ),
    Process.EXPLAIN: Access(reads=SOURCE_TOPICS, checks=False),
}
"""The use that each kind of process makes of Kafka."""


def api_process(settings: Settings) -> Process:
    """Return the kind of an API process that runs with these settings."""
    return Process.API_WITH_WEBHOOKS if settings.webhook_hosts else Process.API
