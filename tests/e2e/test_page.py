"""The web pages of the running product show in a browser what the API answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.chromium import chromium
from tests.e2e.product import run, up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import Page

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

DOWN, UP, SILENT, CLOSED = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abcd")
STATES = {DOWN: "down", UP: "up", SILENT: "unknown", CLOSED: "closed"}
PATIENCE = 60_000


def write_files(folder: Path) -> list[str]:
    """Write polls and hours of four stores, one in each state; return the arguments of `replay`."""
    now = datetime.now(UTC).replace(microsecond=0)
    polls = [
        (DOWN, "active", now - timedelta(hours=6)),
        (DOWN, "inactive", now - timedelta(minutes=40)),
        (UP, "active", now - timedelta(minutes=10)),
        (SILENT, "active", now - timedelta(hours=9)),
        (CLOSED, "active", now - timedelta(minutes=20)),
    ]
    status, hours = folder / "status.csv", folder / "hours.csv"
    lines = [f"{store},{state},{at:%Y-%m-%d %H:%M:%S.%f} UTC" for store, state, at in polls]
    status.write_text("\n".join(["store_id,status,timestamp_utc", *lines, ""]))
    # the store opens in three days by UTC: it is closed now in every timezone
    day = (now.weekday() + 3) % 7
    header = "store_id,dayOfWeek,start_time_local,end_time_local"
    hours.write_text(f"{header}\n{CLOSED},{day},09:00:00,17:00:00\n")
    return ["--status", str(status), "--hours", str(hours)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a product with four stores, two of them on the status page; return its address."""
    folder = tmp_path_factory.mktemp("page")
    chosen = {"STORE_UPTIME_PUBLIC_STORES": f"{DOWN}=Downtown,{UP}=Harbour"}
    running, address = up(folder / "up", environment=chosen)
    with running:
        replayed = run("replay", *write_files(folder), "--data-dir", str(folder / "up"))
        assert replayed.returncode == 0, replayed.stderr
        yield address


class Api:
    """A client of the API, with whose answers the pages are compared."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> Any:
        async with self._session.get(path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def text(self, path: str) -> str:
        async with self._session.get(path) as response:
            assert response.status == 200
            return await response.text()

    async def send_poll(self, store_id: str, status: str) -> None:
        async with self._session.post(
            f"/stores/{store_id}/status", json={"status": status}
        ) as response:
            assert response.status == 202, await response.text()

    async def wait_for_states(self, expected: dict[str, str]) -> dict[str, Any]:
        """Wait until every store is in its state, about a second, and return the fleet."""
        async with asyncio.timeout(PATIENCE / 1000):
            while True:
                fleet: dict[str, Any] = await self.get("/fleet")
                if {store["store_id"]: store["state"] for store in fleet["stores"]} == expected:
                    return fleet
                await asyncio.sleep(0.1)


async def create_and_download(page: Page, button: str) -> tuple[str, str]:
    """Create a report with a button, and return the content of its CSV and the CSV's path."""
    from playwright.async_api import expect  # noqa: PLC0415  not installed where Chromium is not

    await page.get_by_role("button", name=button).click()
    link = page.get_by_role("link", name="Download CSV")
    await expect(link).to_be_visible(timeout=PATIENCE)
    path = await link.get_attribute("href")
    assert path
    async with page.expect_download() as download:
        await link.click()
    file = await (await download.value).path()
    return await asyncio.to_thread(Path(file).read_text), path


async def test_the_pages_show_what_the_api_answers_and_follow_it(address: str) -> None:
    async with chromium() as browser, aiohttp.ClientSession(address) as session:
        from playwright.async_api import expect  # noqa: PLC0415

        expect.set_options(timeout=PATIENCE)
        api = Api(session)
        fleet = await api.wait_for_states(STATES)
        context = await browser.new_context(base_url=address)
        broken: list[str] = []
        context.on(
            "console",
            lambda message: broken.append(message.text) if message.type == "error" else None,
        )
        context.on("weberror", lambda error: broken.append(str(error.error)))
        page = await context.new_page()
        await page.goto("/")

        # the overview
        for state, label in (("down", "down"), ("up", "up"), ("unknown", "unknown")):
            name = f"{fleet['counts'][state]} {label}"
            await expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
        await expect(page.locator("#rows a.id")).to_have_text([DOWN, SILENT, UP, CLOSED])
        await expect(page.locator("#rows .state")).to_have_text(["Down", "Unknown", "Up", "Closed"])
        # the figures are the answer of a query
        await expect(page.locator("#figures-note")).to_contain_text("business hours only")
        row = page.locator("#rows tr", has_text=DOWN)
        await expect(row.locator(".figure").nth(3)).to_contain_text("%")

        # a poll is shown without a reload
        await expect(page.locator("#connection")).to_have_text("Live")
        await page.evaluate("window.notReloaded = true")
        await api.send_poll(DOWN, "active")
        await expect(row.locator(".state")).to_have_text("Up")
        await expect(row).to_contain_text("up, just now")
        await expect(page.get_by_role("button", name="2 up", exact=True)).to_be_visible()
        assert await page.evaluate("window.notReloaded")

        # all stores in one CSV
        content, path = await create_and_download(page, "Create report")
        assert content == await api.text(path)
        assert len(content.splitlines()) == 1 + len(STATES)

        # the store's page; by the clock of the data, the second active poll ends the incident
        await api.send_poll(DOWN, "active")
        await page.get_by_role("link", name=DOWN).click()
        await expect(page.locator("#facts")).to_contain_text("Up")
        incidents = (await api.get(f"/stores/{DOWN}/incidents"))["incidents"]
        assert incidents
        await expect(page.locator(".incidents tbody tr")).to_have_count(len(incidents))
        await expect(page.locator(".incidents tbody tr").first).to_contain_text("Reported down")
        await expect(page.get_by_text("Ongoing")).to_have_count(0)
        timeline = await api.get(f"/stores/{DOWN}/timeline")
        await expect(page.locator(".day")).to_have_count(len(timeline["days"]))
        await expect(page.locator(".days .segment.inactive.open").first).to_be_attached()
        summary = await api.get(f"/stores/{DOWN}/summary")
        await expect(page.locator(".window")).to_have_count(len(summary["windows"]))
        await expect(page.locator("#hours")).to_contain_text("Open 24/7")

        # the store's page shows a poll without a reload too
        await page.evaluate("window.notReloaded = true")
        await api.send_poll(DOWN, "inactive")
        await expect(page.locator("#facts")).to_contain_text("Down")
        await expect(page.locator("#facts")).to_contain_text("last heard just now: down")
        assert await page.evaluate("window.notReloaded")
        content, path = await create_and_download(page, "Create report")
        assert content == await api.text(path)
        assert content.splitlines()[1].startswith(DOWN)

        # the status page shows the chosen stores alone
        await page.goto("/public/")
        await expect(page.locator("#headline")).to_contain_text("1 store is down")
        await expect(page.locator(".store h3")).to_have_text(["Downtown", "Harbour"])
        await expect(page.locator("svg.days").first).to_be_attached()
        assert broken == []
