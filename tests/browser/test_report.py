"""Both pages create a report, show its progress and offer its CSV."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.data import CSV, CSV_NAME, REPORT, STORE

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREATE = "Create report"


async def downloaded(page: Page) -> str:
    link = page.get_by_role("link", name="Download CSV")
    # some browsers show a CSV instead
    await expect(link).to_have_attribute("download", "")
    async with page.expect_download() as download:
        await link.click()
    file = await download.value
    assert file.suggested_filename == CSV_NAME
    return Path(await file.path()).read_text()  # noqa: ASYNC240 - a few bytes


async def test_a_report_of_all_stores_shows_its_progress_and_is_downloaded(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page() as page:
        await page.get_by_role("button", name=CREATE).click()
        status = page.locator(".report-status")
        await backend.set_report(status="running", parts_done=3, parts=8)
        await expect(status).to_contain_text("3 of 8 parts")
        bar = page.get_by_role("progressbar")
        await expect(bar).to_have_js_property("value", 3)
        await expect(bar).to_have_js_property("max", 8)
        await backend.set_report(status="running", parts_done=7, parts=8)
        await expect(status).to_contain_text("7 of 8 parts")
        await backend.set_report(status="complete")
        await expect(status).to_contain_text("Report ready")
        await expect(status).to_have_attribute("role", "status")
        assert await downloaded(page) == CSV
        # with these columns the file can be read without this page
        columns = "reference_time,coverage,unknown"
        assert f"GET /get_report/{REPORT}?columns={columns}" in backend.requests
        assert backend.requests.count("POST /trigger_report") == 1
        # and the page does not connect again
        await backend.report_events.left()
        assert sum("/events" in line and "/reports/" in line for line in backend.requests) == 1


async def test_a_report_of_one_store_is_requested_once_and_is_downloaded(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page(f"/store/{STORE}") as page:
        button = page.get_by_role("button", name=CREATE)
        await button.click()
        await expect(page.locator(".report-status")).to_contain_text("Running")
        # it is requested once, even if the button is pressed again
        await expect(button).to_have_attribute("aria-disabled", "true")
        await button.press("Enter")
        await backend.set_report(status="complete")
        assert await downloaded(page) == CSV
        assert backend.requests.count(f"POST /trigger_report/{STORE}") == 1
        await expect(button).to_have_attribute("aria-disabled", "false")


async def test_a_report_that_fails_says_why_and_can_be_requested_again(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page() as page:
        await page.get_by_role("button", name=CREATE).click()
        await backend.set_report(status="failed", reason="not complete by its deadline")
        status = page.locator(".report-status")
        await expect(status).to_contain_text("not complete by its deadline")
        await backend.report_events.left()
        backend.report = {"status": "running"}
        await page.get_by_role("button", name=CREATE).click()
        await backend.set_report(status="complete")
        await expect(status).to_contain_text("Report ready")


async def test_without_events_the_report_is_polled(open_page: OpenPage, backend: Backend) -> None:
    backend.report_events.refused = HTTPStatus.SERVICE_UNAVAILABLE
    backend.report = {"status": "running", "parts_done": 1, "parts": 8}
    async with open_page(clock=True, expected_errors=("503",)) as page:
        await page.get_by_role("button", name=CREATE).click()
        status = page.locator(".report-status")
        await expect(status).to_contain_text("1 of 8 parts")
        # an outage in between does no harm
        backend.failing["/get_report"] = HTTPStatus.SERVICE_UNAVAILABLE
        await page.clock.run_for(1_000)
        await expect(status).to_contain_text("1 of 8 parts")
        backend.failing.clear()
        backend.report["parts_done"] = 5
        await page.clock.run_for(1_000)
        await expect(status).to_contain_text("5 of 8 parts")
        backend.report = {"status": "complete"}
        await page.clock.run_for(1_000)
        assert await downloaded(page) == CSV


async def test_a_stream_that_ends_too_early_does_not_end_the_report(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page(clock=True, expected_errors=("410",)) as page:
        await page.get_by_role("button", name=CREATE).click()
        await backend.report_events.listened()
        backend.report = {"status": "failed", "reason": "store 7 has no figures"}
        backend.report_events.cut()
        await expect(page.locator(".report-status")).to_contain_text("store 7 has no figures")


async def test_a_report_that_cannot_be_requested_is_requested_again(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.failing["/trigger_report"] = HTTPStatus.SERVICE_UNAVAILABLE
    async with open_page(expected_errors=("503",)) as page:
        await page.get_by_role("button", name=CREATE).click()
        await expect(page.locator(".report-status")).to_have_text(
            "The report could not be created: the service has lost its message broker. Retrying."
        )
        backend.failing.clear()
        # the page requests it again by itself
        await backend.set_report(status="complete")
        await expect(page.locator(".report-status")).to_contain_text("Report ready")
