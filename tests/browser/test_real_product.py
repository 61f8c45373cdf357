"""The page on the real product: what it shows is what the API says, and a ping changes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import aiohttp
import pytest
from playwright.async_api import expect

from tests.e2e.product import Http, run, up

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="session"),
]

STORES = [str(UUID(int=number)) for number in range(1, 7)]
NOON = datetime(2024, 3, 13, 18, tzinfo=UTC)  # a Wednesday, 13:00 in Chicago


def files(folder: Path) -> list[str]:
    """Six stores, open from nine to five: one down, one silent, one closed, three up."""
    polls = ["store_id,status,timestamp_utc"]
    for number, store in enumerate(STORES[:5]):
        silent = timedelta(hours=5) if number == 1 else timedelta(0)
        for hours in range(72):
            status = "inactive" if number == 0 and hours < 2 else "active"
            at = NOON - silent - timedelta(hours=hours, minutes=number)
            polls.append(f"{store},{status},{at:%Y-%m-%d %H:%M:%S} UTC")
    (folder / "polls.csv").write_text("\n".join(polls) + "\n")
    hours_rows = ["store_id,day,start_time_local,end_time_local"]
    hours_rows += [
        f"{store},{day},{'18:00:00' if number == 4 else '09:00:00'},23:00:00"
        for number, store in enumerate(STORES)
        for day in range(7)
    ]
    (folder / "hours.csv").write_text("\n".join(hours_rows) + "\n")
    return ["--status", str(folder / "polls.csv"), "--hours", str(folder / "hours.csv")]


async def test_the_page_shows_what_is_and_follows_it(browser: Browser, tmp_path: Path) -> None:
    running, address = up(tmp_path / "data")
    with running:
        replayed = run("replay", *files(tmp_path), "--data-dir", str(tmp_path / "data"))
        assert replayed.returncode == 0, replayed.stderr
        context = await browser.new_context(base_url=address)
        try:
            page = await context.new_page()
            await page.goto("/")
            counts = page.locator(".counts")
            for name, count in (("down", 1), ("unknown", 2), ("up", 2), ("closed", 1)):
                button = counts.get_by_role("button", name=name)
                await expect(button.locator(".number")).to_have_text(str(count))
            first = page.locator("#rows tr").first
            await expect(first).to_contain_text(STORES[0])
            await expect(first).to_contain_text("Down")

            # a ping, and the page follows without being loaded again
            await page.evaluate("window.sameDocument = true")
            async with aiohttp.ClientSession(address) as session:
                body = {"status": "active", "timestamp_utc": NOON.isoformat()}
                path = f"/stores/{STORES[0]}/status"
                later = {**body, "timestamp_utc": (NOON + timedelta(minutes=1)).isoformat()}
                async with session.post(path, json=later) as response:
                    assert response.status == 202
            down = counts.get_by_role("button", name="down").locator(".number")
            await expect(down).to_have_text("0")
            assert await page.evaluate("window.sameDocument")

            # the store: its incident is over, and its report is the API's
            await page.goto(f"/store/{STORES[0]}")
            await expect(page.locator("#incidents")).to_contain_text("Reported inactive")
            await page.get_by_role("button", name="Report of this store").click()
            link = page.get_by_role("link", name="Download CSV")
            await expect(link).to_be_visible()
            async with page.expect_download() as download:
                await link.click()
            told = (await (await download.value).path()).read_text()
            async with Http(address) as http:
                status, text = await http.finished(await http.trigger(STORES[0]))
            assert (status, told) == (200, text)
        finally:
            await context.close()
