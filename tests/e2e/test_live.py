"""The pages name the part of the product that is frozen: first the broker, then the worker."""

from __future__ import annotations

import os
import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.chromium import chromium
from tests.e2e.product import up
from tests.e2e.test_frozen import children_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

STORE = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"
PATIENCE = 60_000


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process until the end of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_pages_say_which_part_is_late_and_that_it_is_back(tmp_path: Path) -> None:
    chosen = {"STORE_UPTIME_PUBLIC_STORES": f"{STORE}=Downtown"}
    # so rare probes do not find the frozen process while the test reads the pages
    running, address = up(tmp_path / "data", "--probe-period", "60", environment=chosen)
    with running:
        children = children_of(running.process.pid)
        async with chromium() as browser, aiohttp.ClientSession(address) as session:
            from playwright.async_api import expect  # noqa: PLC0415  not installed where Chromium is not

            expect.set_options(timeout=PATIENCE)
            async with session.post(
                f"/stores/{STORE}/status", json={"status": "active"}
            ) as response:
                assert response.status == 202, await response.text()
            context = await browser.new_context(base_url=address)
            fleet, status = await context.new_page(), await context.new_page()
            await fleet.goto("/")
            connection, notice = fleet.locator("#connection"), fleet.get_by_role("alert")
            for child, words in (
                ("kafka-1", "The service has lost its message broker."),
                ("worker-1", "The workers do not keep up: No worker owns partitions 0, 1"),
            ):
                await fleet.bring_to_front()
                await expect(connection).to_have_text("Live")
                await expect(notice).to_be_empty()
                with frozen(children[child]):
                    old = re.compile(r"^Delayed: data of \d\d:\d\d, (just now|\d+ min ago)$")
                    await expect(connection).to_have_text(old)
                    await expect(notice).to_contain_text(words)
                    await expect(notice).not_to_contain_text("again later")
                    await status.goto("/public/")
                    await status.bring_to_front()
                    headline = status.locator("#headline")
                    await expect(headline).to_contain_text("Status cannot be updated since ")
                    await expect(headline).not_to_contain_text("Downtown")
            await fleet.bring_to_front()
            await expect(connection).to_have_text("Live")
            await expect(notice).to_be_empty()
            await status.goto("/public/")
            await expect(status.locator("#headline")).to_contain_text("All stores that are open")
