"""Reads what the brokers say of topics now: the id, the partitions and the replicas of each.

A topic that is deleted and created again has the same name and another id (KIP-516). The brokers
tell the id in Metadata responses from version 10 on; aiokafka speaks up to version 5, so this
module adds one version of that request. Kafka has it since 2.8.
"""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from stream_app.kafka.clients import connection, start, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BytesIO

    from stream_app.settings import Settings

_ID_BYTES: Final = 16
_NO_ID: Final = bytes(_ID_BYTES)


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """One topic as the brokers have it now.

    Attributes:
        name: the topic's name.
        id: the topic's id, written as Kafka's own tools write it; None: this broker tells none.
        partitions: number of partitions.
        replicas: copies of the partition that has the fewest.
    """

    name: str
    id: str | None
    partitions: int
    replicas: int


async def topic_ids(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """Ask the brokers for the ids of topics.

    Args:
        settings: how to reach the broker.
        names: names of topics. They are not created by this question.

    Returns:
        the id of each topic that exists; nothing where the brokers are older than Kafka 2.8.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    await start(admin, settings)
    try:
        descriptions = await describe_topics(admin, names)
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()
    return {name: topic.id for name, topic in descriptions.items() if topic.id is not None}


async def describe_topics(
    admin: AIOKafkaAdminClient, names: Iterable[str]
) -> dict[str, TopicDescription]:
    """Ask through a client that is started; topics that do not exist are left out.

    Raises:
        KafkaError: the broker did not answer, or does not let this client see a topic.
    """
    wanted = list(names)
    try:
        response = await _ask_any_broker(admin, _MetadataRequest(wanted))
    except NotImplementedError:
        # a broker of before 2.8, or one that only speaks Kafka's protocol: no ids
        response = await _ask_any_broker(admin, MetadataRequest(wanted, False))
    descriptions: dict[str, TopicDescription] = {}
    for topic in response.to_object()["topics"]:
        code = topic["error_code"]
        if code == UnknownTopicOrPartitionError.errno:
            continue
        # a partition without a leader exists
        if code not in (0, LeaderNotAvailableError.errno):
            raise for_code(code)(topic["topic"])
        partitions = topic["partitions"]
        descriptions[topic["topic"]] = TopicDescription(
            name=topic["topic"],
            id=_text_of(topic.get("topic_id", _NO_ID)),
            partitions=len(partitions),
            replicas=min((len(partition["replicas"]) for partition in partitions), default=0),
        )
    return descriptions


async def _ask_any_broker(admin: AIOKafkaAdminClient, request: Any) -> Any:
    """Ask one broker after the other until one answers: the client itself asks a single one.

    Raises:
        KafkaError: none answered.
    """
    client = admin._client  # noqa: SLF001  no public way
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    random.shuffle(nodes)
    unanswered: KafkaError = KafkaConnectionError("no broker is known")
    for node in nodes:
        try:
            return await client.send(node, request)
        except (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError) as error:
            unanswered = error
    raise unanswered


def _text_of(topic_id: bytes) -> str | None:
    if topic_id == _NO_ID:
        return None
    return base64.urlsafe_b64encode(topic_id).rstrip(b"=").decode()


class _Uuid:
    """Sixteen bytes as they are; aiokafka's protocol types have no UUID."""

    @staticmethod
    def encode(value: bytes) -> bytes:
        return value

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        return data.read(_ID_BYTES)

    @staticmethod
    def repr(value: bytes) -> str:
        return value.hex()


class _MetadataResponse_v11(Response):  # noqa: N801  aiokafka's notation
    API_KEY = 3
    API_VERSION = 11
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest_v11(RequestStruct):  # noqa: N801  aiokafka's notation
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 11
    RESPONSE_TYPE = _MetadataResponse_v11
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequest_v11]):
    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest_v11]) -> Any:
        topics: list[Any] = [(_NO_ID, name, {}) for name in self._topics]
        return request_struct_class(topics, False, False, {})
