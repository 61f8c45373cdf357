"""A running gateway of the API, and how a report that it was asked for ends."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from api.gateway import Gateway
from stream_app.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.reports.view import ReportState
    from stream_app.settings import Settings


def now() -> int:
    return time.time_ns() // 1000


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway that has connected."""
    started = Gateway(settings, now)
    await started.start()
    try:
        while not await connected(started):  # noqa: ASYNC110  another task connects
            await asyncio.sleep(0.02)
        yield started
    finally:
        await started.stop()


async def connected(tried: Gateway) -> bool:
    try:
        return await tried.report_service.report(str(uuid.uuid4())) is None
    except BrokerUnavailableError:
        return False


async def finished(asked: Gateway, report_id: str) -> ReportState:
    while True:
        state = await asked.report_service.report(report_id)
        assert state is not None
        if state.status in {"complete", "failed"}:
            return state
        await asyncio.sleep(0.02)
