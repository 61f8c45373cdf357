"""Makes a worker join its consumer group again after an error of the group.

aiokafka raises an error of the group in the next call of `getmany`, and takes no further step
until then. Faust fetches without `getmany`, so the error would never be raised. A
worker whose join was answered with an error once, as by a broker that was just waking up, stayed
out of the group from then on: it ran, owned nothing, and logged nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka.consumer.group_coordinator import GroupCoordinator

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""Seconds that a worker waits after an error of the group before it joins again."""


def join_again_after_errors(
    coordinator: GroupCoordinator,
    on_failure: Callable[[BaseException], None],
    retry_seconds: float = RETRY_SECONDS,
) -> None:
    """Make a coordinator of aiokafka join the group again after every error.

    Args:
        coordinator: it has a running loop, in which this is called.
        on_failure: called with the error if the coordinator ends because of one all the same.
        retry_seconds: the pause after an error.
    """

    async def retry(error: BaseException) -> None:
        log.warning("the consumer group cannot be joined now, it is tried again: %r", error)
        # an error of a heartbeat leaves the coordinator without one until it joins again
        coordinator.request_rejoin()
        await asyncio.wait([coordinator._closing], timeout=retry_seconds)  # noqa: SLF001

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            on_failure(error)

    coordinator._push_error_to_user = retry  # noqa: SLF001  no public way
    coordinator._coordination_task.add_done_callback(ended)  # noqa: SLF001
