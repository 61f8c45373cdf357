"""Requests a report of all stores over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from benchmarks.errors import BenchmarkError

if TYPE_CHECKING:
    import aiohttp

_POLL_SECONDS: Final = 0.005


async def fleet_report(session: aiohttp.ClientSession) -> str:
    """Request a report of all stores and wait until it is complete.

    Args:
        session: an HTTP client whose base address is the API's.

    Returns:
        The report as CSV.

    Raises:
        BenchmarkError: the API refused the report, or the report failed.
    """
    async with session.post("/trigger_report") as response:
        if response.status != 202:
            raise BenchmarkError(f"POST /trigger_report: {response.status}")
        report_id = (await response.json())["report_id"]
    while True:
        async with session.get(f"/get_report/{report_id}") as response:
            text = await response.text()
            if response.status == 200:
                return text
            if response.status != 202:
                raise BenchmarkError(f"the fleet report: {response.status} {text[:100]}")
        await asyncio.sleep(_POLL_SECONDS)
