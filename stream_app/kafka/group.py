"""A worker's place in the consumer group."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError

from stream_app.contracts.topics import APP_ID
from stream_app.kafka.clients import connection
from stream_app.kafka.protocol import LeaveGroupRequest

if TYPE_CHECKING:
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

_LEAVE_SECONDS: Final = 3.0


async def leave_group(settings: Settings, instance_id: str) -> None:
    """Make a worker leave the group, so that the others take over at once.

    aiokafka's own way leaves out a member that is just joining again, as all are when several
    workers stop at once; such a member keeps its partitions until its session is over.

    Args:
        settings: how to reach the broker.
        instance_id: the name by which the group knows the worker.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await admin.start()
            coordinator = await admin.find_coordinator(APP_ID)
            await admin._client.send(  # noqa: SLF001  no public way
                coordinator,
                LeaveGroupRequest(APP_ID, instance_id),
                group=ConnectionGroup.COORDINATION,
            )
    except (KafkaError, NotImplementedError, TimeoutError) as error:
        log.debug("the group is not left now, its session ends soon: %r", error)
    finally:
        await admin.close()
