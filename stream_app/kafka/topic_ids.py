"""Reads what the brokers say of topics now: the id, the partitions and the replicas of each.

A topic that is deleted and created again has the same name and another id (KIP-516). So an offset
of the old topic, for instance, has no meaning for the new one.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from stream_app.kafka.clients import connection, start, unavailable
from stream_app.kafka.protocol import (
    NO_ID,
    OPERATIONS_UNKNOWN,
    DescribeTopicsRequest,
    ask_any_broker,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.settings import Settings


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """One topic as the brokers have it now.

    Attributes:
        name: the topic's name.
        id: the topic's id, written as Kafka's own tools write it; None if this broker tells none.
        partitions: number of partitions.
        replicas: copies of the partition that has the fewest.
        operations: the operations that this client may do with it, a bit for each code of Kafka's
            operations; None if the brokers do not tell it.
    """

    name: str
    id: str | None
    partitions: int
    replicas: int
    operations: int | None = None


@dataclass(frozen=True, slots=True)
class TopicsSeen:
    """The answer of the brokers about some topics.

    Attributes:
        existing: those that exist, by name.
        hidden: those that this client may not see, whether they exist or not.
    """

    existing: dict[str, TopicDescription]
    hidden: tuple[str, ...]


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
    seen = await find_topics(admin, names)
    if seen.hidden:
        raise TopicAuthorizationFailedError(*seen.hidden)
    return seen.existing


async def find_topics(admin: AIOKafkaAdminClient, names: Iterable[str]) -> TopicsSeen:
    """Ask as `describe_topics` does; return also the topics that this client may not see.

    Raises:
        KafkaError: the broker did not answer.
    """
    requested = list(names)
    try:
        response = await ask_any_broker(admin, DescribeTopicsRequest(requested))
    except NotImplementedError:
        # a broker of before 2.8, or one that only speaks Kafka's protocol: no ids
        response = await ask_any_broker(admin, MetadataRequest(requested, False))
    existing: dict[str, TopicDescription] = {}
    hidden = []
    for topic in response.to_object()["topics"]:
        code = topic["error_code"]
        if code == UnknownTopicOrPartitionError.errno:
            continue
        if code == TopicAuthorizationFailedError.errno:
            hidden.append(topic["topic"])
            continue
        # a partition without a leader exists
        if code not in (0, LeaderNotAvailableError.errno):
            raise for_code(code)(topic["topic"])
        replicas = topic.get("partition_replicas")
        if replicas is None:
            replicas = [len(partition["replicas"]) for partition in topic["partitions"]]
        operations = topic.get("topic_authorized_operations", OPERATIONS_UNKNOWN)
        existing[topic["topic"]] = TopicDescription(
            name=topic["topic"],
            id=_text_of(topic.get("topic_id", NO_ID)),
            partitions=len(replicas),
            replicas=min(replicas, default=0),
            operations=None if operations == OPERATIONS_UNKNOWN else operations,
        )
    return TopicsSeen(existing, tuple(hidden))


def _text_of(topic_id: bytes) -> str | None:
    if topic_id == NO_ID:
        return None
    return base64.urlsafe_b64encode(topic_id).rstrip(b"=").decode()
