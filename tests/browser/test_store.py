"""The page of a store shows its state, windows, incidents and hours, or says what is missing."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser import week
from tests.browser.data import STORE, UNKNOWN

if TYPE_CHECKING:
    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = f"/store/{STORE}"
MINUS = "\N{EN DASH}"


async def test_the_page_shows_the_state_of_the_store_now(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        await expect(page.get_by_role("heading", level=1)).to_have_text(STORE)
        await expect(page.locator("#facts > span")).to_have_text(
            [
                "Down since 09:45 (2 h 35 min)",
                "last heard 11 min ago: down (Tue 12 Mar, 12:09)",
                "Tue 12:20 in America/Chicago",
                "closes 21:00, in 8 h 40 min",
            ]
        )
        await expect(page).to_have_title("Down: 0f5c1a3e · Store uptime")


async def test_the_page_shows_three_windows_with_coverage(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        windows = page.locator(".window")
        await expect(windows).to_have_count(3)
        await expect(windows.nth(0)).to_contain_text("Last hour")
        for text in ("0% up", "0 min up", "1 h down", "Coverage 100%"):
            await expect(windows.nth(0)).to_contain_text(text)
        for text in (
            "Last week",
            "91.7% up",
            "73 h 26 min up",
            "5 h 4 min down",
            "1 h 30 min no data",
        ):
            await expect(windows.nth(2)).to_contain_text(text)
        # never rounded up
        await expect(windows.nth(2)).to_contain_text(
            "Coverage 98.1% · no data counts as 1 h 30 min down"
        )


async def test_a_window_without_business_hours_says_so(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.details[STORE]["summary"]["windows"][0].update(
        uptime_minutes=0, downtime_minutes=0, coverage=None
    )
    async with open_page(PATH) as page:
        await expect(page.locator(".window").first).to_contain_text(
            "No business hours in this time"
        )


async def test_the_page_lists_the_incidents(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        table = page.get_by_role("table", name="Incidents")
        await expect(table.get_by_role("columnheader")).to_have_text(
            ["Start", "End", "Downtime", "Cause"]
        )
        await expect(table.locator("tbody tr")).to_have_count(4)
        for number, cells in enumerate(
            [
                ["Tue 12 Mar, 09:45", "Ongoing", "2 h 35 min", "Reported down"],
                ["Mon 11 Mar, 09:00", "10:30", "1 h 30 min", "No data"],
                ["Sat 9 Mar, 15:00", "15:04", "4 min", "Reported down"],
                ["Fri 8 Mar, 10:00", "12:30", "2 h 30 min", "Reported down"],
            ]
        ):
            await expect(table.locator("tbody tr").nth(number).locator("th, td")).to_have_text(
                cells
            )


async def test_an_incident_over_a_night_shows_the_day_on_which_it_ends(
    open_page: OpenPage, backend: Backend
) -> None:
    start = week.START + timedelta(hours=8)
    night = week.incident(start, start + timedelta(hours=14, seconds=20))
    backend.details[STORE]["incidents"]["incidents"] = [{**night, "downtime_seconds": 20.0}]
    async with open_page(PATH) as page:
        cells = page.locator(".incidents tbody th, .incidents tbody td")
        await expect(cells).to_have_text(
            ["Tue 5 Mar, 19:20", "Wed 6 Mar, 09:20", "20 s", "Reported down"]
        )


async def test_a_button_fetches_older_incidents_where_there_are_more(
    open_page: OpenPage, backend: Backend
) -> None:
    every = [
        week.incident(end - timedelta(minutes=5), end)
        for end in (week.END - timedelta(hours=hours) for hours in range(1, 61))
    ]
    backend.details[STORE]["incidents"]["incidents"] = every
    async with open_page(PATH) as page:
        lines = page.locator(".incidents tbody tr")
        older = page.get_by_role("button", name="Show earlier")
        await expect(lines).to_have_count(25)
        await older.click()
        await expect(lines).to_have_count(50)
        await older.click()
        await expect(lines).to_have_count(60)
        await expect(older).to_have_count(0)
        starts = await lines.locator("th").all_text_contents()
        assert len(set(starts)) == 60
        # a change of the store brings new ones and takes none of the older ones away
        every.insert(0, week.incident(week.END - timedelta(minutes=2), week.END))
        await backend.change(STORE, "down", "inactive")
        await expect(lines).to_have_count(61)
        await expect(older).to_have_count(0)


async def test_an_incident_that_may_have_begun_before_the_week_says_so(
    open_page: OpenPage, backend: Backend
) -> None:
    earlier = week.incident(week.START, week.START + timedelta(hours=1))
    backend.details[STORE]["incidents"]["incidents"] = [earlier]
    async with open_page(PATH) as page:
        await expect(page.locator(".incidents tbody th")).to_have_text(
            "Tue 5 Mar, 11:20 or earlier"
        )


async def test_a_week_without_incidents_says_so(open_page: OpenPage, backend: Backend) -> None:
    backend.details[STORE]["incidents"]["incidents"] = []
    async with open_page(PATH) as page:
        await expect(page.locator("#incidents")).to_contain_text(
            "No incidents during business hours"
        )


async def test_the_page_shows_the_business_hours_of_each_day(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.details[STORE]["summary"]["business_hours"] = [
        [0, "13:00:00", "18:00:00"],
        [0, "9:00", "12:30:00"],
        [5, "22:00:00", "02:00:30"],
    ]
    async with open_page(PATH) as page:
        hours = page.get_by_role("table", name="Business hours").get_by_role("row")
        await expect(hours).to_have_count(7)
        await expect(hours.nth(0)).to_contain_text(f"09:00{MINUS}12:30, 13:00{MINUS}18:00")
        await expect(hours.nth(1)).to_contain_text("closed")
        await expect(hours.nth(5)).to_contain_text(f"22:00{MINUS}02:00:30")
        await expect(page.locator("#hours")).to_contain_text(
            "Coverage: share of business hours with a poll in the last 2 hours."
        )


async def test_a_store_that_is_always_open_says_so(open_page: OpenPage, backend: Backend) -> None:
    backend.details[STORE]["summary"].update(business_hours=None, open_changes_at=None)
    async with open_page(PATH) as page:
        await expect(page.locator("#hours")).to_contain_text(
            "Open 24/7: no business hours on record."
        )
        await expect(page.locator("#facts")).to_contain_text("open 24/7")


async def test_an_unknown_timezone_is_named_with_the_one_that_applies(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.details[STORE]["summary"]["unknown_timezone"] = "america/chicago "
    async with open_page(PATH) as page:
        await expect(page.locator("#facts > span").last).to_have_text(
            "“america/chicago ” is not a timezone: the default, America/Chicago, applies"
        )


async def test_a_closed_store_says_when_it_opens(open_page: OpenPage, backend: Backend) -> None:
    backend.details[STORE]["summary"].update(state="closed", open_changes_at="2024-03-13T14:00:00Z")
    async with open_page(PATH) as page:
        await expect(page.locator("#facts")).to_contain_text("opens Wed 09:00, in 20 h 40 min")


async def test_a_store_without_polls_is_shown_as_unknown(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.details[STORE]["summary"].update(state="unknown", last_poll=None)
    async with open_page(PATH) as page:
        await expect(page.locator("#facts")).to_contain_text("No poll received yet")
        await expect(page.locator("#facts")).to_contain_text("Unknown")


async def test_a_store_of_which_no_poll_was_received_is_shown_as_down_nowhere(
    open_page: OpenPage, backend: Backend
) -> None:
    """All of its time counts as down, but no poll has reported that."""
    week.silence(backend.details[STORE])
    async with open_page(PATH) as page:
        windows = page.locator(".window")
        await expect(windows.locator("b")).to_have_text(["No data"] * 3)
        await expect(windows.nth(2)).to_contain_text("Coverage 0% · no data counts as 80 h down")
        await expect(windows.locator(".share .no-data")).to_have_count(3)
        for line in await page.locator(".day .figures").all_text_contents():
            assert line.startswith(("No datacounts as ", "closed"))
        bar = page.locator(".days .segment.unknown.open .bar").first
        await expect(bar).to_have_attribute("fill", "url(#hatch)")
        cells = page.locator(".incidents tbody tr").first.locator("td")
        await expect(cells).to_have_text(["Ongoing", "80 h", "No data"])
        await expect(cells.locator(".icon.unknown")).to_have_count(2)
        await expect(page.locator(".down")).to_have_count(0)


async def test_an_incident_that_is_partly_without_data_says_so(
    open_page: OpenPage, backend: Backend
) -> None:
    first = backend.details[STORE]["incidents"]["incidents"][0]
    first["unknown_downtime_seconds"] = 3600.0
    async with open_page(PATH) as page:
        cells = page.locator(".incidents tbody tr").first.locator("td")
        await expect(cells.nth(1)).to_have_text("2 h 35 min (1 h no data)")
        await expect(cells.nth(2)).to_have_text("Reported down")
        silent = page.locator(".incidents tbody tr").nth(1)
        await expect(silent.locator(".icon.unknown")).to_have_count(1)


async def test_before_the_first_answer_there_are_no_empty_cards(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.failing["/stores/"] = HTTPStatus.SERVICE_UNAVAILABLE
    async with open_page(PATH, expected_errors=("503",)) as page:
        await expect(page.get_by_role("alert")).not_to_be_empty()
        await expect(page.locator(".card:visible")).to_have_count(0)


async def test_a_poll_is_shown_at_once_and_the_other_data_is_fetched(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page(PATH) as page:
        await expect(page.locator("#facts")).to_contain_text("Down")
        await page.evaluate("window.notReloaded = true")
        assert f"GET /fleet/events?store_id={STORE}" in backend.requests
        incidents = backend.details[STORE]["incidents"]["incidents"]
        incidents[0] = {**incidents[0], "ongoing": False, "end": "2024-03-12T17:10:00Z"}
        backend.details[STORE]["timeline"]["intervals"][-1]["end"] = "2024-03-12T17:10:00Z"
        backend.now = "2024-03-12T17:21:00Z"
        await backend.change(STORE, "up", "active")
        await expect(page.locator("#facts")).to_contain_text("Up")
        await expect(page.locator("#facts")).to_contain_text("last heard just now: up")
        await expect(page.locator("#announcements")).to_have_text("The store is up now")
        await expect(page.locator(".incidents tbody tr").first).to_contain_text("12:10")
        await expect(page.locator(".days .segment").last).to_have_attribute(
            "aria-label", "Tue 12 Mar, 09:45 to 12:10: Down, 2 h 25 min, in business hours"
        )
        assert await page.evaluate("window.notReloaded")


async def test_a_lost_connection_is_shown(open_page: OpenPage, backend: Backend) -> None:
    async with open_page(PATH) as page:
        await expect(page.locator("#connection")).to_have_text("Live")
        backend.fleet_events.hold_back()
        backend.fleet_events.cut()
        await expect(page.locator("#connection")).to_have_text("Not connected")
        backend.fleet_events.go_on()
        await expect(page.locator("#connection")).to_have_text("Live")


async def test_the_page_of_an_unknown_store_says_so(open_page: OpenPage, backend: Backend) -> None:
    async with open_page(f"/store/{UNKNOWN}", expected_errors=("404",)) as page:
        await expect(page.get_by_role("heading", level=1)).to_have_text("No such store")
        await expect(page.locator("#missing")).to_contain_text(f"Store {UNKNOWN} is unknown")
        await expect(page.locator("#store")).to_be_hidden()
        assert not any("/fleet/events" in line for line in backend.requests)
        await page.get_by_role("link", name="See all stores").click()
        await expect(page.locator("#rows tr")).to_have_count(50)


async def test_the_page_of_an_invalid_store_id_says_so(open_page: OpenPage) -> None:
    async with open_page("/store/seven%2Feight", expected_errors=("422",)) as page:
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not a store id")


async def test_a_lost_broker_is_reported_and_the_last_known_data_stays(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page(PATH, clock=True, expected_errors=("503",)) as page:
        await expect(page.locator(".window")).to_have_count(3)
        backend.failing["/stores/"] = HTTPStatus.SERVICE_UNAVAILABLE
        await backend.fleet_events.listened()
        await page.clock.run_for(60_000)
        notice = page.get_by_role("alert")
        await expect(notice).to_contain_text("The service has lost its message broker.")
        await expect(notice).to_contain_text("The page shows the last known state")
        await expect(page.locator(".window")).to_have_count(3)
        backend.failing.clear()
        await page.clock.run_for(1_000)
        await expect(notice).to_be_empty()


async def test_a_broker_that_is_away_from_the_start_is_reported(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.failing["/stores/"] = HTTPStatus.SERVICE_UNAVAILABLE
    async with open_page(PATH, expected_errors=("503",)) as page:
        notice = page.get_by_role("alert")
        await expect(notice).to_contain_text("lost its message broker. Retrying.")
        backend.failing.clear()
        await notice.get_by_role("button", name="Retry").click()
        await expect(page.locator(".window")).to_have_count(3)


async def test_the_link_back_leads_to_the_list_with_its_filters(open_page: OpenPage) -> None:
    async with open_page("/?state=down") as page:
        await page.get_by_role("link", name=STORE).click()
        await page.get_by_role("link", name="All stores").click()
        await expect(page).to_have_url("/?state=down")
        await expect(page.locator("#rows tr")).to_have_count(3)
