"""Creation of every topic, explicitly and before anything else starts, and a check of those there.

A topic that a client touches first would be created by the broker with its default
partition count, and the co-partitioned agents could not start. Its other settings would be the
broker's defaults too, by which state is deleted after a week.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from stream_app.contracts.topics import ALL_TOPICS, APP_ID
from stream_app.errors import PrerequisiteError
from stream_app.kafka.clients import connection, start, unavailable
from stream_app.kafka.topic_check import check_topics
from stream_app.kafka.topic_ids import describe_topics

if TYPE_CHECKING:
    from stream_app.kafka.topic_ids import TopicDescription
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_COORDINATOR_TRIES: Final = 50
_COORDINATOR_PAUSE_SECONDS: Final = 0.1

_VISIBLE_TRIES: Final = 50
_VISIBLE_PAUSE_SECONDS: Final = 0.1


async def ensure_topics(settings: Settings) -> int:
    """Create the topics that do not exist yet; check the others and put their settings right.

    Returns:
        how many were created.

    Raises:
        BrokerUnavailableError: no broker answers.
        PrerequisiteError: a topic cannot be created, or is not as it must be and cannot be put
            right from here.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    await start(admin, settings)
    try:
        created = await _create_missing(admin, settings)
        await _check(admin, settings)
        await _wait_for_coordinator(admin)
    except TopicAuthorizationFailedError as error:
        raise PrerequisiteError(
            f"the broker does not let this client see topic {error.args[0]}: grant Describe on it"
        ) from None
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()
    return created


async def _wait_for_coordinator(admin: AIOKafkaAdminClient) -> None:
    """Ask for the group's coordinator until there is one.

    A new cluster makes its topic of offsets at the first question, and answers with errors
    meanwhile, which whoever joins the group would log.
    """
    for _ in range(_COORDINATOR_TRIES):
        try:
            await admin.find_coordinator(APP_ID)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(_COORDINATOR_PAUSE_SECONDS)
        else:
            return


async def cluster_id(settings: Settings) -> str:
    """The name that a Kafka cluster keeps for its life; another one has another.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    await start(admin, settings)
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()


async def _create_missing(admin: AIOKafkaAdminClient, settings: Settings) -> int:
    existing = await describe_topics(admin, [spec.name for spec in ALL_TOPICS])
    wanted = [
        NewTopic(
            name=spec.name,
            num_partitions=spec.partitions(settings),
            replication_factor=settings.replication,
            topic_configs=spec.configs(settings),
        )
        for spec in ALL_TOPICS
        if spec.name not in existing
    ]
    if not wanted:
        return 0
    response = await admin.create_topics(wanted)
    for name, code, message in response.topic_errors:
        # another process of this product may be creating the same topics right now
        if code not in (0, TopicAlreadyExistsError.errno):
            raise PrerequisiteError(
                f"the broker does not create topic {name}: {message or for_code(code).__name__}"
            )
    log.info("created %d topics", len(wanted))
    return len(wanted)


async def _check(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    check = await check_topics(admin, settings, await _all_topics(admin))
    for remark in check.remarks:
        log.warning("%s", remark)
    if check.trouble is not None:
        raise PrerequisiteError(check.trouble)


async def _all_topics(admin: AIOKafkaAdminClient) -> dict[str, TopicDescription]:
    """The topics, once the broker that is asked has heard of each: it may be just made."""
    names = [spec.name for spec in ALL_TOPICS]
    for _ in range(_VISIBLE_TRIES):
        topics = await describe_topics(admin, names)
        if len(topics) == len(names):
            break
        await asyncio.sleep(_VISIBLE_PAUSE_SECONDS)
    return topics
