"""The overview shows, searches and orders the stores, and its address has all choices."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser import data
from tests.browser.data import STORE, ZONES

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


def rows(page: Page) -> Locator:
    return page.locator("#rows tr")


async def ids(page: Page) -> list[str]:
    return await page.locator("#rows a.id").all_text_contents()


def count(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


async def test_a_row_shows_state_place_poll_and_figures(open_page: OpenPage) -> None:
    async with open_page() as page:
        await expect(rows(page)).to_have_count(50)
        cells = rows(page).first.locator("th, td")
        await expect(cells).to_have_text(
            [
                "Down",
                STORE,
                "America/Chicago",
                "Tue 12:20",
                "down, 11 min ago",
                "60 min",
                "9.50 h",
                "14.66 h",
                "79.0%",
                "92.3%",
            ]
        )
        await expect(page.locator("#now")).to_have_text(
            "12 Mar 2024, 17:20 UTC, time of the newest poll received"
        )
        await expect(page.locator("#figures-note")).to_contain_text("12 Mar 2024, 17:19 UTC")


async def test_the_worst_stores_come_first_and_the_page_says_how_many_there_are(
    open_page: OpenPage,
) -> None:
    async with open_page() as page:
        states = page.locator("#rows .state")
        await expect(states.nth(0)).to_have_text("Down")
        await expect(states.nth(3)).to_have_text("Unknown")
        await expect(states.nth(8)).to_have_text("Up")
        await expect(page.locator("#matching")).to_have_text("1\N{EN DASH}50 of 120 stores")
        for name in ("3 down", "5 unknown", "100 up", "12 closed now"):
            await expect(count(page, name)).to_be_visible()


async def test_counts_are_filters(open_page: OpenPage) -> None:
    async with open_page() as page:
        await count(page, "3 down").click()
        await expect(rows(page)).to_have_count(3)
        await expect(page).to_have_url("/?state=down")
        await expect(count(page, "3 down")).to_have_attribute("aria-pressed", "true")
        await expect(count(page, "100 up")).to_have_attribute("aria-pressed", "false")
        await count(page, "5 unknown").click()
        await expect(rows(page)).to_have_count(8)
        await expect(page).to_have_url("/?state=down,unknown")
        await expect(page.locator("#matching")).to_have_text("8 of 120 stores")
        await count(page, "3 down").click()
        await expect(rows(page)).to_have_count(5)
        await page.get_by_role("button", name="Clear filters").click()
        await expect(rows(page)).to_have_count(50)
        await expect(page).to_have_url("/")


async def test_stores_are_chosen_by_search_and_timezone_and_are_ordered(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page() as page:
        await page.get_by_label("Timezone").select_option("Asia/Beirut")
        await expect(rows(page)).to_have_count(24)
        await expect(page).to_have_url("/?zone=Asia/Beirut")
        await page.get_by_label("Sort").select_option("Store id")
        await expect(page).to_have_url("/?zone=Asia/Beirut&sort=id")
        expected_ids = sorted(
            s for s in backend.stores if backend.stores[s]["timezone"] == "Asia/Beirut"
        )
        await expect(page.locator("#rows a.id")).to_have_text(expected_ids)
        await page.get_by_label("Search by store id").fill(expected_ids[5][3:20].upper())
        await expect(rows(page)).to_have_count(1)
        assert await ids(page) == [expected_ids[5]]
        zones = page.get_by_label("Timezone").locator("option")
        await expect(zones).to_have_text(["All timezones", *sorted(ZONES)])


async def test_stores_are_ordered_by_their_last_poll(open_page: OpenPage, backend: Backend) -> None:
    async with open_page("/?sort=last_poll") as page:
        await expect(page.locator("#rows .state").first).to_have_text("Unknown")
        await expect(page.get_by_label("Sort")).to_have_value("last_poll")
        assert "GET /fleet?sort=last_poll&limit=50" in backend.requests


async def test_an_address_shows_what_it_says(open_page: OpenPage) -> None:
    async with open_page("/?state=up&zone=America/Denver&q=4&sort=id") as page:
        await expect(count(page, "100 up")).to_have_attribute("aria-pressed", "true")
        await expect(page.get_by_label("Timezone")).to_have_value("America/Denver")
        await expect(page.get_by_label("Search by store id")).to_have_value("4")
        await expect(page.get_by_label("Sort")).to_have_value("id")
        for zone in await page.locator("#rows td.zone").all_text_contents():
            assert zone == "America/Denver"
        assert await ids(page) == sorted(await ids(page))


async def test_the_back_button_goes_through_the_earlier_choices(open_page: OpenPage) -> None:
    async with open_page() as page:
        await count(page, "3 down").click()
        await expect(rows(page)).to_have_count(3)
        await page.get_by_label("Search by store id").press_sequentially(STORE[:6])
        await expect(rows(page)).to_have_count(1)
        await page.get_by_role("link", name=STORE).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(STORE)
        await page.go_back()
        await expect(rows(page)).to_have_count(1)
        await expect(page.get_by_label("Search by store id")).to_have_value(STORE[:6])
        # the typed text is one step, not one for each key
        await page.go_back()
        await expect(rows(page)).to_have_count(3)
        await expect(page.get_by_label("Search by store id")).to_have_value("")
        await page.go_back()
        await expect(rows(page)).to_have_count(50)
        await expect(count(page, "3 down")).to_have_attribute("aria-pressed", "false")
        await page.go_forward()
        await expect(rows(page)).to_have_count(3)


async def test_pages_come_from_the_server(open_page: OpenPage, backend: Backend) -> None:
    async with open_page() as page:
        pages = page.get_by_role("navigation", name="Pages")
        await expect(pages.get_by_text("Page 1 of 3")).to_be_visible()
        previous, following = pages.get_by_text("Previous"), pages.get_by_text("Next")
        await expect(previous).to_have_attribute("aria-disabled", "true")
        first = await ids(page)
        await following.click()
        await expect(page.locator("#matching")).to_have_text("51\N{EN DASH}100 of 120 stores")
        await expect(page).to_have_url("/?page=2")
        assert not set(first) & set(await ids(page))
        await following.click()
        await expect(rows(page)).to_have_count(20)
        await expect(following).to_have_attribute("aria-disabled", "true")
        assert "GET /fleet?page=3&limit=50" in backend.requests
        # another filter begins at its first page
        await count(page, "100 up").click()
        await expect(page).to_have_url("/?state=up")


async def test_a_page_beyond_the_end_is_the_last_page(open_page: OpenPage) -> None:
    async with open_page("/?page=9") as page:
        await expect(rows(page)).to_have_count(20)
        await expect(page).to_have_url("/?page=3")


async def test_a_text_that_no_id_can_contain_matches_nothing(open_page: OpenPage) -> None:
    async with open_page(expected_errors=("422",)) as page:
        await expect(rows(page)).to_have_count(50)
        await page.get_by_label("Search by store id").fill("shop")
        heading = page.get_by_role("heading", name="No store matches “shop”")
        await expect(heading).to_be_visible()
        await expect(page.get_by_role("alert")).to_be_empty()
        await page.get_by_label("Search by store id").fill("")
        await expect(rows(page)).to_have_count(50)


async def test_without_a_match_a_button_clears_the_filters(open_page: OpenPage) -> None:
    async with open_page("/?q=00000000&sort=id") as page:
        heading = page.get_by_role("heading", name="No store matches “00000000”")
        await expect(heading).to_be_visible()
        await expect(page.locator("table.stores")).to_be_hidden()
        await page.locator("#empty").get_by_role("button", name="Clear filters").click()
        await expect(rows(page)).to_have_count(50)
        await expect(page).to_have_url("/?sort=id")


async def test_without_a_match_the_heading_names_several_filters(open_page: OpenPage) -> None:
    async with open_page("/?q=00000000&state=up") as page:
        heading = page.get_by_role("heading", name="No store matches these filters")
        await expect(heading).to_be_visible()


async def test_a_store_without_polls_is_without_data_and_not_down(
    open_page: OpenPage, backend: Backend
) -> None:
    for store in backend.stores.values():
        figures = data.silent_figures(store["figures"])
        store.update(state="unknown", last_poll=None, figures=figures)
    async with open_page() as page:
        row = rows(page).first
        await expect(row.locator(".figure")).to_have_text(["No data"] * 4 + ["0%"])
        await expect(page.locator("#rows .down")).to_have_count(0)
        title = await row.locator(".figure").nth(1).get_attribute("title")
        assert title == "10.00 h counted as down, 10.00 h of it without data"


async def test_downtime_is_shown_without_the_time_without_data(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.stores[STORE]["figures"]["unknown_downtime_last_day"] = 2.25
    async with open_page() as page:
        await expect(rows(page).first.locator(".figure").nth(1)).to_have_text("7.25 h")


@pytest.mark.parametrize("width", [320, 700, 1100, 1250, 1400])
async def test_coverage_is_in_the_table_at_every_width(open_page: OpenPage, width: int) -> None:
    async with open_page(viewport={"width": width, "height": 700}) as page:
        await expect(rows(page).first.locator(".coverage")).to_be_visible()
        await expect(rows(page).first.locator(".coverage")).to_have_text("92.3%")


async def test_before_there_are_counts_no_share_is_drawn(open_page: OpenPage) -> None:
    async with open_page() as page:
        await expect(page.locator("#proportions span").first).to_be_visible()
        await page.route("**/fleet?*", lambda _route: None)
        await page.reload(wait_until="domcontentloaded")
        await expect(page.locator("#counts button")).to_have_count(4)
        await expect(page.locator("#proportions span:visible")).to_have_count(0)
        await page.unroute_all(behavior="ignoreErrors")


async def test_an_overview_without_stores_says_so(open_page: OpenPage, backend: Backend) -> None:
    backend.stores.clear()
    backend.now = backend.figures_at = None
    async with open_page() as page:
        await expect(page.get_by_role("heading", name="No stores yet")).to_be_visible()
        await expect(page.locator("#now")).to_have_text("No poll received yet")
        await expect(page.locator("#figures-note")).to_be_empty()


async def test_stores_without_polls_are_shown_as_unknown(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.now = None
    for store in backend.stores.values():
        store.update(state="unknown", last_poll=None)
    async with open_page() as page:
        await expect(rows(page).first).to_contain_text("none received")
        await expect(rows(page).first).to_contain_text("Unknown")
        await expect(page.locator("#now")).to_have_text("No poll received yet")


async def test_figures_that_are_not_known_yet_are_fetched_again(
    open_page: OpenPage, backend: Backend
) -> None:
    known = {store_id: store["figures"] for store_id, store in backend.stores.items()}
    backend.figures_at = None
    for store in backend.stores.values():
        store["figures"] = None
    async with open_page(clock=True) as page:
        await expect(page.locator("#figures-note")).to_contain_text("being calculated")
        await expect(rows(page).first.locator(".figure").first).to_have_text("\N{EN DASH}")
        backend.figures_at = backend.now
        for store_id, store in backend.stores.items():
            store["figures"] = known[store_id]
        await page.clock.run_for(3_000)
        await expect(rows(page).first).to_contain_text("9.50 h")
        await expect(page.locator("#figures-note")).to_contain_text("17:20 UTC")


async def test_a_lost_broker_is_reported_and_the_last_known_data_stays(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page(clock=True, expected_errors=("503",)) as page:
        await expect(rows(page)).to_have_count(50)
        backend.failing["/fleet"] = HTTPStatus.SERVICE_UNAVAILABLE
        await count(page, "3 down").click()
        notice = page.get_by_role("alert")
        await expect(notice).to_contain_text("The service has lost its message broker.")
        await expect(notice).not_to_contain_text("again later")
        await expect(notice).to_contain_text("The page shows the last known state")
        await expect(rows(page)).to_have_count(50)
        backend.failing.clear()
        # Retry-After says one second
        await page.clock.run_for(1_000)
        await expect(notice).to_be_empty()
        await expect(rows(page)).to_have_count(3)


async def test_a_broker_that_is_away_from_the_start_is_reported(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.failing["/fleet"] = HTTPStatus.SERVICE_UNAVAILABLE
    async with open_page(expected_errors=("503",)) as page:
        notice = page.get_by_role("alert")
        await expect(notice).to_contain_text("has lost its message broker. Retrying.")
        await expect(notice).not_to_contain_text("last known")
        await expect(page.locator(".loading")).to_have_count(0)
        backend.failing.clear()
        await notice.get_by_role("button", name="Retry").click()
        await expect(rows(page)).to_have_count(50)
        await expect(notice).to_be_empty()


async def test_a_service_that_does_not_answer_is_reported(open_page: OpenPage) -> None:
    async with open_page(expected_errors=("ERR_FAILED",)) as page:
        await expect(rows(page)).to_have_count(50)
        await page.route("**/fleet?*", lambda route: route.abort())
        await count(page, "3 down").click()
        await expect(page.get_by_role("alert")).to_contain_text("The service does not answer")


async def test_the_page_shows_that_it_waits_for_the_first_answer(open_page: OpenPage) -> None:
    async with open_page() as page:
        await expect(rows(page)).to_have_count(50)
        await expect(page.locator("#stores")).to_have_attribute("aria-busy", "false")
        await page.route("**/fleet?*", lambda _route: None)
        await page.reload(wait_until="domcontentloaded")
        await expect(page.locator(".loading")).to_have_count(12)
        await expect(page.locator("#stores")).to_have_attribute("aria-busy", "true")
        await page.unroute_all(behavior="ignoreErrors")


async def test_names_are_text_and_no_markup(open_page: OpenPage, backend: Backend) -> None:
    backend.stores[STORE]["timezone"] = "<img src=x onerror=alert(1)>"
    async with open_page() as page:
        await expect(rows(page).first).to_contain_text("<img src=x onerror=alert(1)>")
        await expect(page.locator("main img")).to_have_count(0)
