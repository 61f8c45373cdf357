"""The public status page shows the chosen stores, follows them, and has no links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.axe_core import violations
from tests.browser.data import freshness

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/public/"


def store(page: Page, name: str) -> Locator:
    return page.locator(".store", has=page.get_by_role("heading", name=name))


async def test_the_page_has_a_headline_and_a_row_for_each_store(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        headline = page.locator("#headline")
        await expect(headline).to_have_text("1 store is downAs of 12 Mar 2024, 17:20 UTC")
        await expect(page).to_have_title("1 store is down · Store status")
        row = store(page, "Downtown")
        await expect(row.locator(".state")).to_have_text("Down")
        await expect(row.locator(".name")).to_contain_text("closes 21:00 local time")
        # never rounded up
        await expect(row.locator(".week")).to_have_text("91.79% in the last week")
        await expect(store(page, "Harbour").locator(".week")).to_have_text("100% in the last week")


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"up": 3, "closed": 2}, "All stores that are open are up"),
        ({"up": 3, "down": 2, "unknown": 1}, "2 stores are down"),
        ({"up": 3, "unknown": 1}, "No data from 1 store"),
        ({"closed": 3}, "All stores are closed now"),
        ({}, "No stores are shown here"),
    ],
)
async def test_the_headline_sums_up_the_counts(
    open_page: OpenPage, backend: Backend, counts: dict[str, int], text: str
) -> None:
    every = {"up": 0, "down": 0, "closed": 0, "unknown": 0, **counts}
    backend.public.document["counts"] = {**every, "total": sum(counts.values())}
    async with open_page(PATH) as page:
        await expect(page.locator("#headline")).to_contain_text(text)


async def test_each_day_has_a_bar_that_shape_and_words_explain(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        days = store(page, "Downtown").get_by_role("img")
        await expect(days).to_have_count(8)
        for number, text in enumerate(
            [
                "Tue 5 Mar: 100% up",
                "Wed 6 Mar: 100% up",
                "Thu 7 Mar: no data",
                "Fri 8 Mar: 79.16% up, 2 h 30 min down",
                "Sat 9 Mar: 94.44% up, 4 min down, 36 min no data",
                "Sun 10 Mar: closed",
                "Mon 11 Mar: 100% up",
                "Tue 12 Mar, so far: 22.50% up, 2 h 35 min down",
            ]
        ):
            await expect(days.nth(number)).to_have_attribute("aria-label", text)
            await expect(days.nth(number).locator("title")).to_have_text(text)
        await expect(days.nth(3).locator("rect.down")).to_have_attribute("fill", "url(#stripes)")
        await expect(days.nth(2).locator("rect")).to_have_attribute("fill", "url(#hatch)")
        # even four minutes of a day are visible
        await expect(days.nth(4).locator("rect.down")).to_have_attribute("height", "6")
        await expect(days.nth(5).locator("rect")).to_have_attribute("height", "4")
        # time without data is hatched and not red
        await expect(days.nth(4).locator("rect.unheard")).to_have_attribute("fill", "url(#hatch)")
        await expect(days.nth(2).locator(".down")).to_have_count(0)
        await expect(days.nth(7).locator(".so-far")).to_have_count(1)
        await expect(days.locator(".so-far")).to_have_count(1)


async def test_the_days_can_be_read_by_keys_alone(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        await expect(page.locator(".store")).to_have_count(2)
        await page.keyboard.press("Tab")
        summary = store(page, "Downtown").locator("summary")
        await expect(summary).to_be_focused()
        await expect(summary).to_have_css("outline-style", "solid")
        await page.keyboard.press("Enter")
        row = store(page, "Downtown").locator("tbody tr").nth(3)
        await expect(row.locator("th, td")).to_have_text(
            ["Fri 8 Mar", "79.16%", "9 h 30 min", "2 h 30 min", "0 min"]
        )
        await expect(row).to_be_visible()


async def test_the_page_fetches_again_and_an_opened_row_stays_open(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page(PATH, clock=True) as page:
        await expect(page.locator("#headline")).to_contain_text("1 store is down")
        await store(page, "Downtown").locator("summary").press("Enter")
        document = backend.public.document
        document["counts"].update(up=2, down=0)
        document["stores"][0]["state"] = "up"
        await page.clock.run_for(30_000)
        await expect(page.locator("#headline")).to_contain_text("All stores that are open are up")
        await expect(store(page, "Downtown").locator(".state")).to_have_text("Up")
        await expect(store(page, "Downtown").locator("table")).to_be_visible()
        await expect(store(page, "Downtown").locator("summary")).to_be_focused()


async def test_without_an_answer_the_last_known_data_stays(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page(PATH, clock=True, expected_errors=("503",)) as page:
        await expect(page.locator(".store")).to_have_count(2)
        backend.public.failing = True
        await page.clock.run_for(30_000)
        headline = page.locator("#headline")
        await expect(headline).to_contain_text("Status cannot be updated since 17:20 UTC")
        # no store is to blame for it
        await expect(headline).not_to_contain_text("down")
        await expect(page).to_have_title("Status cannot be updated since 17:20 UTC · Store status")
        await expect(page.get_by_role("alert")).to_contain_text("the last known state")
        await expect(page.locator(".store")).to_have_count(2)
        backend.public.failing = False
        await page.clock.run_for(30_000)
        await expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize("part", ["broker", "workers"])
async def test_a_service_that_is_behind_blames_no_store(
    open_page: OpenPage, backend: Backend, part: str
) -> None:
    document = backend.public.document
    document["freshness"] = freshness(at="2024-03-12T17:30:00Z", delayed=True, part=part)
    async with open_page(PATH, clock=True) as page:
        headline = page.locator("#headline")
        await expect(headline.locator("strong")).to_have_text(
            "Status cannot be updated since 17:20 UTC"
        )
        await expect(headline.locator(".down")).to_have_count(0)
        document["freshness"] = freshness()
        await page.clock.run_for(30_000)
        await expect(headline).to_contain_text("1 store is down")
        await expect(page.locator("#notice")).to_be_hidden()


async def test_a_store_without_polls_is_without_data_and_not_down(
    open_page: OpenPage, backend: Backend
) -> None:
    for entry in backend.public.document["stores"]:
        entry.update(
            state="unknown",
            uptime={"last_day": 0.0, "last_week": 0.0},
            coverage={"last_day": 0.0, "last_week": 0.0},
            days=[_silent(day) for day in entry["days"]],
        )
    backend.public.document["counts"] = {"up": 0, "down": 0, "closed": 0, "unknown": 2, "total": 2}
    async with open_page(PATH) as page:
        await expect(page.locator("#headline")).to_contain_text("No data from 2 stores")
        row = store(page, "Downtown")
        await expect(row.locator(".week")).to_have_text("No data in the last week")
        await expect(row.locator("rect.unheard")).to_have_count(7)
        await expect(page.locator(".down")).to_have_count(0)


def _silent(day: dict[str, Any]) -> dict[str, Any]:
    minutes = day["uptime_minutes"] + day["downtime_minutes"]
    return {
        **day,
        "uptime_minutes": 0,
        "downtime_minutes": minutes,
        "unknown_downtime_minutes": minutes,
        "coverage": 0.0 if minutes else None,
    }


async def test_a_week_that_is_partly_without_data_says_so(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.public.document["stores"][0]["coverage"]["last_week"] = 0.6
    async with open_page(PATH) as page:
        await expect(store(page, "Downtown").locator(".week")).to_have_text(
            "91.79% in the last week, 40% no data"
        )


async def test_without_an_answer_from_the_start_the_status_is_not_known(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.public.failing = True
    async with open_page(PATH, clock=True, expected_errors=("503",)) as page:
        await expect(page.locator("#headline")).to_have_text("The current status is not known")
        await expect(page.get_by_role("alert")).to_contain_text("cannot load its data")
        backend.public.failing = False
        await page.clock.run_for(30_000)
        await expect(page.locator("#headline")).to_contain_text("1 store is down")


async def test_a_store_without_any_data_is_unknown(open_page: OpenPage, backend: Backend) -> None:
    backend.public.document["now"] = None
    backend.public.document["stores"][0].update(
        state="unknown",
        timezone=None,
        local_time=None,
        last_poll_at=None,
        open_changes_at=None,
        open_changes_local=None,
        uptime={"last_day": None, "last_week": None},
        coverage={"last_day": None, "last_week": None},
        days=[],
    )
    async with open_page(PATH) as page:
        row = store(page, "Downtown")
        await expect(row.locator(".state")).to_have_text("Unknown")
        await expect(row.locator(".week")).to_contain_text("\N{EN DASH}")
        await expect(row.locator("details")).to_have_count(0)
        await expect(page.locator("#headline")).to_contain_text("No poll received yet")


async def test_the_page_has_no_links_and_requests_only_its_own_paths(
    open_page: OpenPage, backend: Backend
) -> None:
    backend.public.document["stores"][0]["name"] = "<b>Downtown</b>"
    async with open_page(PATH) as page:
        await expect(page.get_by_role("heading", name="<b>Downtown</b>")).to_be_visible()
        await expect(page.get_by_role("link")).to_have_count(0)
    assert all(line.startswith("GET /public/") for line in backend.requests)


@pytest.mark.parametrize(
    "options",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 320, "height": 640}}],
    ids=["light", "dark", "phone"],
)
async def test_everyone_can_read_the_page(open_page: OpenPage, options: dict[str, Any]) -> None:
    async with open_page(PATH, **options) as page:
        await expect(page.locator(".store")).to_have_count(2)
        await store(page, "Downtown").locator("summary").click()
        assert await violations(page) == []
        fits = "document.documentElement.scrollWidth == document.documentElement.clientWidth"
        assert await page.evaluate(fits)
        # no bar is cut off
        drawn = await store(page, "Downtown").locator(".days").bounding_box()
        assert drawn
        assert drawn["width"] == 8 * 12 + 7 * 4
        colour = await page.locator("body").evaluate(
            "(body) => getComputedStyle(body).backgroundColor"
        )
        assert (colour == "rgb(15, 18, 22)") == (options.get("color_scheme") == "dark")
