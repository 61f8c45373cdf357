"""Runs a gateway of the API, and waits for the end of its reports."""

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
async def running_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Start a gateway, and wait until it has connected to the broker."""
    gateway = Gateway(settings, now)
    await gateway.start()
    try:
        while not await is_connected(gateway):  # noqa: ASYNC110  another task connects
            await asyncio.sleep(0.02)
        yield gateway
    finally:
        await gateway.stop()


async def is_connected(gateway: Gateway) -> bool:
    try:
        return await gateway.report_service.report(str(uuid.uuid4())) is None
    except BrokerUnavailableError:
        return False


async def wait_until_finished(gateway: Gateway, report_id: str) -> ReportState:
    while True:
        state = await gateway.report_service.report(report_id)
        assert state is not None
        if state.status in {"complete", "failed"}:
            return state
        await asyncio.sleep(0.02)
