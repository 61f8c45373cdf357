"""Creates the missing topics before anything else starts, and checks those that exist.

A topic that a client touches first would be created by the broker with its default
partition count, and the co-partitioned agents could not start. Its other settings would be the
broker's defaults too, by which state is deleted after a week.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from stream_app.contracts.access import ACCESS, Process
from stream_app.contracts.fields import listed
from stream_app.errors import PrerequisiteError
from stream_app.kafka.clients import connection, start, unavailable
from stream_app.kafka.principal import principal
from stream_app.kafka.rights import (
    missing_elsewhere,
    missing_in_words,
    missing_on_topics,
)
from stream_app.kafka.topic_check import check_topics
from stream_app.kafka.topic_ids import find_topics

if TYPE_CHECKING:
    from stream_app.kafka.topic_ids import TopicsSeen
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_COORDINATOR_TRIES: Final = 50
_COORDINATOR_PAUSE_SECONDS: Final = 0.1

_VISIBLE_TRIES: Final = 50
_VISIBLE_PAUSE_SECONDS: Final = 0.1


async def ensure_topics(settings: Settings, process: Process = Process.UP) -> int:
    """Create the topics that do not exist yet; check the others and put their settings right.

    Only what the process uses is created and checked.

    Args:
        settings: how to reach the broker, and what the topics must be.
        process: the kind of process that uses the topics, groups and rights.

    Returns:
        how many were created.

    Raises:
        BrokerUnavailableError: no broker answers.
        PrerequisiteError: a topic cannot be created, is not as it must be and cannot be put right
            from here, or the process lacks a right.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    await start(admin, settings)
    try:
        created = await _create_missing(admin, settings, process)
        for group in ACCESS[process].groups:
            await _wait_for_coordinator(admin, group)
        await _check(admin, settings, process)
    except KafkaError as error:
        raise unavailable(settings, error) from error
    finally:
        await admin.close()
    return created


async def _wait_for_coordinator(admin: AIOKafkaAdminClient, group: str) -> None:
    """Ask for the group's coordinator until there is one.

    A new cluster creates its topic of offsets at the first question. Until then it answers with
    errors, which a client that joins the group would log.
    """
    for _ in range(_COORDINATOR_TRIES):
        try:
            await admin.find_coordinator(group)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(_COORDINATOR_PAUSE_SECONDS)
        except GroupAuthorizationFailedError:
            # the missing right is reported with the others
            return
        else:
            return


async def cluster_id(settings: Settings) -> str:
    """Return the id of the Kafka cluster; it never changes, and no other cluster has it.

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


async def _create_missing(admin: AIOKafkaAdminClient, settings: Settings, process: Process) -> int:
    topics = ACCESS[process].topics
    seen = await find_topics(admin, [spec.name for spec in topics])
    missing = [
        NewTopic(
            name=spec.name,
            num_partitions=spec.partitions(settings),
            replication_factor=settings.replication,
            topic_configs=spec.configs(settings),
        )
        for spec in topics
        if spec.name not in seen.existing and spec.name not in seen.hidden
    ]
    if not missing:
        return 0
    response = await admin.create_topics(missing)
    refused: dict[str, list[str]] = defaultdict(list)
    for name, code, message in response.topic_errors:
        # another process of this product may be creating the same topics right now
        if code not in (0, TopicAlreadyExistsError.errno):
            refused[_why_not_created(code, message)].append(name)
    if refused:
        raise PrerequisiteError(
            "; ".join(
                f"the broker does not create {'topics' if len(names) > 1 else 'topic'} "
                f"{listed(names)} for {principal(settings)}: {why}"
                for why, names in refused.items()
            )
        )
    log.info("created %d topics", len(missing))
    return len(missing)


def _why_not_created(code: int, message: str | None) -> str:
    if code in (TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno):
        return "grant Create on these names, or make them as the page on topics says"
    return message or str(for_code(code).__name__)


async def _check(admin: AIOKafkaAdminClient, settings: Settings, process: Process) -> None:
    seen = await _all_topics(admin, process)
    missing = missing_on_topics(process, seen) + await missing_elsewhere(admin, process)
    words = missing_in_words(missing, process, settings)
    if words is not None:
        raise PrerequisiteError(words)
    check = await check_topics(admin, settings, seen.existing, read_settings=ACCESS[process].checks)
    for remark in check.remarks:
        log.warning("%s", remark)
    if check.trouble is not None:
        raise PrerequisiteError(check.trouble)


async def _all_topics(admin: AIOKafkaAdminClient, process: Process) -> TopicsSeen:
    """Return the topics, once the broker that is asked has heard of each: it may be just made."""
    names = [spec.name for spec in ACCESS[process].topics]
    for _ in range(_VISIBLE_TRIES):
        seen = await find_topics(admin, names)
        if len(seen.existing) + len(seen.hidden) == len(names):
            break
        await asyncio.sleep(_VISIBLE_PAUSE_SECONDS)
    return seen
