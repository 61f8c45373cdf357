"""Fakes brokers that answer the requests of an admin client about topics."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from stream_app.contracts.topics import ALL_TOPICS
from stream_app.kafka.protocol import (
    NO_ID,
    DescribeTopicsRequest,
    GroupRightsRequest,
    IncrementalAlterConfigsRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.admin import NewTopic

    from stream_app.settings import Settings

_IDS = count(1)

_ALL = (1 << 13) - 1


@dataclass(slots=True)
class FakeTopic:
    """A topic with all its settings, including the defaults of the broker."""

    partitions: int
    replicas: int
    config: dict[str, str]
    number: int = field(default_factory=lambda: next(_IDS))

    @property
    def raw_id(self) -> bytes:
        return self.number.to_bytes(16, "big")

    @property
    def id(self) -> str:
        return base64.urlsafe_b64encode(self.raw_id).decode().rstrip("=")


class FakeTopics:
    """A fake of the admin client.

    Attributes:
        topics: the topics that exist, by name.
        altered: every change of a setting that was requested, as (topic, setting, value).
        refuses: error code and message for a change of a topic's settings, by topic.
        hidden: topics whose settings the client may not read.
        unseen: topics that the client may not see at all.
        forbidden: groups and transactional ids that the client may not use.
        operations: allowed operations on a topic or a group as bits, by name; all by default.
        down: nodes that do not answer.
        knows_topic_ids: True if the brokers know topic ids.
        requests: the class name of every request, in order.
        created: the topics that were created, in order.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = {
            spec.name: FakeTopic(
                spec.partitions(settings), settings.replication, spec.configs(settings)
            )
            for spec in ALL_TOPICS
        }
        self.altered: list[tuple[str, str, str]] = []
        self.refuses: dict[str, tuple[int, str | None]] = {}
        self.hidden: set[str] = set()
        self.unseen: set[str] = set()
        self.forbidden: set[str] = set()
        self.operations: dict[str, int] = {}
        self.down: set[int] = set()
        self.knows_topic_ids = True
        self.nodes = (1, 2, 3)
        self.requests: list[str] = []
        self.created: list[str] = []
        brokers = lambda: [SimpleNamespace(nodeId=node) for node in self.nodes]  # noqa: E731
        self._client = SimpleNamespace(cluster=SimpleNamespace(brokers=brokers), send=self._send)

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def find_coordinator(self, name: str, kind: int = 0) -> int:
        if name in self.forbidden:
            raise (TransactionalIdAuthorizationFailed if kind else GroupAuthorizationFailedError)
        return 1

    async def create_topics(self, topics: list[NewTopic]) -> Any:
        self.created += [new.name for new in topics]
        for new in topics:
            self.topics[new.name] = FakeTopic(
                new.num_partitions, new.replication_factor, dict(new.topic_configs)
            )
        return SimpleNamespace(topic_errors=[(new.name, 0, None) for new in topics])

    def configs(self, name: str, **changes: str) -> dict[str, str]:
        """Change settings of a topic; underscores stand for dots."""
        config = self.topics[name].config
        config.update({setting.replace("_", "."): value for setting, value in changes.items()})
        return config

    async def _send(self, node: int, request: Any) -> Any:
        if node in self.down:
            raise KafkaConnectionError
        self.requests.append(type(request).__name__)
        match request:
            case DescribeTopicsRequest():
                if not self.knows_topic_ids:
                    raise NotImplementedError
                return self._described(request._topics)
            case MetadataRequest():
                assert request._allow_auto_topic_creation is False
                return self._described(request._topics or [])
            case DescribeConfigsRequest():
                return SimpleNamespace(resources=[self._config(*r) for r in request._resources])
            case GroupRightsRequest():
                allowed = self.operations.get(request._group, _ALL)
                return SimpleNamespace(groups=[(0, request._group, "", "", "", [], allowed)])
            case IncrementalAlterConfigsRequest():
                return SimpleNamespace(
                    resources=[
                        self._alter(name, values) for name, values in request._topics.items()
                    ]
                )
            case _:
                raise AssertionError(request)

    def _described(self, names: list[str]) -> Any:
        topics = [self._description(name) for name in names]
        return SimpleNamespace(to_object=lambda: {"topics": topics})

    def _description(self, name: str) -> dict[str, Any]:
        topic = self.topics.get(name)
        if name in self.unseen:
            code = TopicAuthorizationFailedError.errno
        else:
            code = 0 if topic else UnknownTopicOrPartitionError.errno
        partitions = topic.partitions if topic else 0
        replicas = topic.replicas if topic else 0
        description: dict[str, Any] = {"error_code": code, "topic": name}
        if self.knows_topic_ids:
            description["partition_replicas"] = [replicas] * partitions
            description["topic_id"] = topic.raw_id if topic else NO_ID
            description["topic_authorized_operations"] = self.operations.get(name, _ALL)
        else:
            description["partitions"] = [{"replicas": list(range(replicas))}] * partitions
        return description

    def _config(self, _kind: int, name: str, settings: list[str]) -> tuple[Any, ...]:
        if name in self.hidden:
            return TopicAuthorizationFailedError.errno, "no", 2, name, []
        if name not in self.topics:
            return UnknownTopicOrPartitionError.errno, None, 2, name, []
        config = {"retention.ms": "604800000"} | self.topics[name].config
        entries: list[tuple[Any, ...]] = [
            (key, config[key], False, 1, False, []) for key in settings if key in config
        ]
        return 0, None, 2, name, entries

    def _alter(self, name: str, values: Mapping[str, str]) -> tuple[Any, ...]:
        self.altered += [(name, setting, value) for setting, value in values.items()]
        code, message = self.refuses.get(name, (0, None))
        if code == 0:
            self.topics[name].config.update(values)
        return code, message, 2, name
