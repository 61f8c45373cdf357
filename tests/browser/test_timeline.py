"""The timeline draws each interval in its place, for eyes, keys and screen readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from api.stores.local_clock import utc_offsets
from stream_app.domain.timestamps import parse_instant
from tests.browser.data import STORE

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = f"/store/{STORE}"
FRIDAY = "Fri 8 Mar, 10:00 to 12:30: Down, 2 h 30 min, in business hours"


def days(page: Page) -> Locator:
    return page.locator(".day")


def segment(page: Page, label: str) -> Locator:
    return page.get_by_role("img", name=label, exact=True)


async def geometry_of(bar: Locator) -> dict[str, Any]:
    geometry: dict[str, Any] = await bar.evaluate(
        """(bar) => ({ x: parseFloat(bar.getAttribute("x")), y: Number(bar.getAttribute("y")),
            width: parseFloat(bar.getAttribute("width")),
            height: Number(bar.getAttribute("height")), fill: getComputedStyle(bar).fill })"""
    )
    return geometry


async def test_each_local_day_has_a_row(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        # the days that are not whole say which part of them is shown
        await expect(days(page).locator(".date")).to_have_text(
            [
                "Tue 5 Marfrom 11:20",
                "Wed 6 Mar",
                "Thu 7 Mar",
                "Fri 8 Mar",
                "Sat 9 Mar",
                "Sun 10 Mar",
                "Mon 11 Mar",
                "Tue 12 Maruntil 12:20",
            ]
        )
        await expect(days(page).nth(6).locator(".figures")).to_have_text("87.5%1 h 30 min no data")
        await expect(days(page).nth(3).locator(".figures")).to_have_text("79.1%2 h 30 min down")
        await expect(days(page).nth(1).locator(".figures")).to_have_text("100%")
        await expect(page.locator("#timeline-zone")).to_have_text("Local time, America/Chicago")


async def test_bars_lie_at_their_local_time(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        down = await geometry_of(segment(page, FRIDAY).locator(".bar"))
        assert down["x"] == pytest.approx(10 / 24 * 100, abs=0.001)
        assert down["width"] == pytest.approx(2.5 / 24 * 100, abs=0.001)
        hours = await geometry_of(days(page).nth(3).locator("rect.hours"))
        assert hours["x"] == pytest.approx(9 / 24 * 100, abs=0.001)
        assert hours["width"] == pytest.approx(12 / 24 * 100, abs=0.001)
        # the last bar of a day ends with it
        night = await geometry_of(days(page).nth(1).locator(".bar").last)
        assert night["x"] + night["width"] == pytest.approx(100, abs=0.001)
        # nothing is drawn before the week and after it
        assert (await geometry_of(days(page).nth(0).locator(".bar").first))["x"] > 47
        last = await geometry_of(days(page).nth(7).locator(".bar").last)
        assert last["x"] + last["width"] == pytest.approx(12.333 / 24 * 100, abs=0.01)


async def test_the_hour_that_the_clock_skips_stays_empty(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        bars = days(page).nth(5).locator(".bar")
        before, after = await geometry_of(bars.nth(0)), await geometry_of(bars.nth(1))
        assert before["x"] + before["width"] == pytest.approx(2 / 24 * 100, abs=0.001)
        assert after["x"] == pytest.approx(3 / 24 * 100, abs=0.001)


@pytest.mark.parametrize(
    ("zone", "day", "spans", "expected"),
    [
        # the hour from one to two comes twice: [0:30, 3:00] lasts three and a half hours
        (
            "America/Chicago",
            ("2024-11-03T05:00:00Z", "2024-11-04T06:00:00Z"),
            [("2024-11-03T05:30:00Z", "2024-11-03T09:00:00Z")],
            [[0.5, 2], [1, 3]],
        ),
        # an outage within both of them
        (
            "America/Chicago",
            ("2024-11-03T05:00:00Z", "2024-11-04T06:00:00Z"),
            [("2024-11-03T06:15:00Z", "2024-11-03T07:15:00Z")],
            [[1.25, 2], [1, 1.25]],
        ),
        # the clock skips midnight itself
        (
            "Asia/Beirut",
            ("2024-03-30T22:00:00Z", "2024-03-31T21:00:00Z"),
            [("2024-03-30T20:00:00Z", "2024-03-31T21:00:00Z")],
            [[1, 24]],
        ),
        # an unknown timezone is shown in UTC
        (
            "Mars/Phobos",
            ("2024-03-30T00:00:00Z", "2024-03-31T00:00:00Z"),
            [("2024-03-30T06:00:00Z", "2024-03-30T07:00:00Z")],
            [[6, 7]],
        ),
    ],
)
async def test_bars_are_right_on_days_on_which_clocks_change(
    open_page: OpenPage,
    zone: str,
    day: tuple[str, str],
    spans: list[tuple[str, str]],
    expected: list[list[float]],
) -> None:
    timeline = {
        "utc_offsets": utc_offsets(zone, *(parse_instant(text) for text in (*spans[0], *day))),
        "days": [{"date": "", "start": day[0], "end": day[1]}],
        "intervals": [{"start": start, "end": end, "open": True} for start, end in spans],
    }
    async with open_page() as page:
        rows = await page.evaluate(
            """async (timeline) => {
                const { timelineRows } = await import("/assets/timeline-rows.js");
                return timelineRows(timeline);
            }""",
            timeline,
        )
    bars = [bar for part in rows[0]["segments"] for bar in part["bars"]]
    hours = [[24 * bar["from"], 24 * bar["to"]] for bar in bars]
    assert hours == [pytest.approx(bar) for bar in expected]


async def test_states_differ_by_more_than_colour(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        up = await geometry_of(days(page).nth(1).locator(".segment.active.open .bar"))
        down = await geometry_of(segment(page, FRIDAY).locator(".bar"))
        unknown = await geometry_of(page.locator(".days .segment.unknown.open .bar"))
        shut = await geometry_of(page.locator(".segment.active.shut .bar").first)
        assert down["height"] > up["height"] > shut["height"]
        assert down["fill"] != unknown["fill"]
        assert "stripes" in down["fill"]
        assert "hatch" in unknown["fill"]
        assert "url" not in up["fill"]
        legend = page.get_by_role("list", name="Legend")
        await expect(legend).to_contain_text("No data (counted as down)")
        for text in ("Business hours", "Up", "Down"):
            await expect(legend.get_by_text(text, exact=True)).to_be_visible()


async def test_the_pointer_shows_the_interval(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        tip = page.locator(".tip")
        await expect(tip).to_be_hidden()
        await segment(page, FRIDAY).hover()
        await expect(tip).to_be_visible()
        await expect(tip).to_contain_text("Down, 2 h 30 min")
        await expect(tip).to_contain_text("Fri 8 Mar, 10:00 to 12:30")
        await expect(tip).to_contain_text("In business hours")
        await page.get_by_role("heading", level=1).hover()
        await expect(tip).to_be_hidden()


async def test_keys_go_from_interval_to_interval(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        await expect(page.locator(".segment[tabindex='0']")).to_have_count(1)
        await page.locator(".segment[tabindex='0']").focus()
        tip = page.locator(".tip")
        focused = page.locator(".segment:focus")
        await expect(tip).to_be_visible()
        await expect(tip).to_contain_text("Tue 12 Mar, 09:45 to 12:20")
        await page.keyboard.press("ArrowLeft")
        await expect(tip).to_contain_text("Tue 12 Mar, 09:00 to 09:45")
        await page.keyboard.press("ArrowUp")
        await expect(tip).to_contain_text("Mon 11 Mar, 09:00 to 10:30")
        await expect(tip).to_contain_text("No data (counted as down)")
        await page.keyboard.press("End")
        await expect(tip).to_contain_text("Mon 11 Mar, 21:00 to 24:00")
        await expect(tip).to_contain_text("Outside business hours")
        await page.keyboard.press("ArrowRight")
        await expect(tip).to_contain_text("Tue 12 Mar, 00:00 to 09:00")
        await page.keyboard.press("ArrowDown")
        await expect(focused).to_have_attribute(
            "aria-label", "Tue 12 Mar, 00:00 to 09:00: Up, 9 h, outside business hours"
        )
        await page.keyboard.press("Escape")
        await expect(tip).to_be_hidden()
        # the Tab key stops once in the timeline
        await page.keyboard.press("Tab")
        await expect(page.locator("summary")).to_be_focused()


async def test_the_days_are_a_table_too(open_page: OpenPage) -> None:
    async with open_page(PATH) as page:
        await page.get_by_text("Show as table").click()
        row = page.locator(".numbers tbody tr").nth(3)
        await expect(row.locator("th, td")).to_have_text(
            ["Fri 8 Mar", "9 h 30 min", "2 h 30 min", "0 min", "79.1%", "100%"]
        )
        await expect(page.locator(".numbers tbody tr").nth(6).locator("th, td")).to_have_text(
            ["Mon 11 Mar", "10 h 30 min", "0 min", "1 h 30 min", "87.5%", "87.5%"]
        )
        await expect(page.locator(".numbers tbody th").first).to_have_text("Tue 5 Mar, from 11:20")


async def test_the_open_table_and_the_focus_stay_when_the_store_changes(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page(PATH) as page:
        await page.get_by_text("Show as table").click()
        await segment(page, FRIDAY).focus()
        backend.details[STORE]["timeline"]["days"][0]["downtime_minutes"] = 60
        await backend.change(STORE, "up", "active")
        await expect(days(page).first).to_contain_text("1 h down")
        await expect(page.locator(".numbers table")).to_be_visible()
        await expect(segment(page, FRIDAY)).to_be_focused()
