"""The public status page: what is chosen, for everybody, and nothing to click."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.axe_core import violations

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

PHONE = {"viewport": {"width": 390, "height": 800}}

pytestmark = pytest.mark.asyncio(loop_scope="session")


def stores(page: Page) -> Any:
    return page.get_by_role("list", name="Stores").locator("> li")


async def test_it_says_what_is_down_first_and_then_every_store(open_page: OpenPage) -> None:
    async with open_page("/public/") as page:
        await expect(page.get_by_role("status")).to_have_text("1 store is down")
        await expect(stores(page)).to_have_count(4)
        down = stores(page).first
        await expect(down.get_by_role("heading")).to_have_text("Downtown")
        await expect(down.locator(".state").first).to_have_text("Down")
        facts = "07:00 there · closes Sun 09:00 · last heard of 8 min ago"
        await expect(down).to_contain_text(facts)
        await expect(down).to_contain_text("75.0% up in 7 days")
        await expect(stores(page).nth(2)).to_contain_text("99.9% up in 7 days")
        await expect(stores(page).nth(2)).to_contain_text("opens Sun 09:00")
        await expect(stores(page).nth(3)).to_contain_text("never heard of")
        await expect(page.locator("#now")).to_have_text("As of 10 Mar 2024, 12:00 UTC")


async def test_a_bar_a_day_is_up_and_down_as_its_text_says(open_page: OpenPage) -> None:
    async with open_page("/public/") as page:
        days = stores(page).first.get_by_role("list").locator("li")
        await expect(days).to_have_count(7)
        texts = ["2024-03-04: 100% up, 0 min down", "2024-03-08: not open"]
        texts += ["2024-03-09: 75.0% up, 120 min down", "2024-03-10: 0% up, 480 min down"]
        for number, text in zip((0, 4, 5, 6), texts, strict=True):
            await expect(days.nth(number)).to_have_attribute("title", text)
        heights = (
            await days.nth(5)
            .locator("rect")
            .evaluate_all(
                """(parts) => parts.map(
                    (part) => [part.className.baseVal, part.height.baseVal.value])"""
            )
        )
        assert heights == [["up", 22.5], ["down", 7.5]]
        assert await days.nth(4).locator("rect").count() == 0


@pytest.mark.parametrize(
    ("counts", "text", "kind"),
    [
        ({"up": 4}, "All stores are up", "up"),
        ({"up": 3, "closed": 1}, "All stores that are open are up", "up"),
        ({"closed": 4}, "All stores are closed now", "closed"),
        ({"up": 2, "unknown": 2}, "We have not heard of 2 stores lately", "unknown"),
        ({"up": 1, "down": 2, "unknown": 1}, "2 stores are down", "down"),
    ],
)
async def test_the_headline(
    open_page: OpenPage, backend: Backend, counts: dict[str, int], text: str, kind: str
) -> None:
    assert backend.shown.told is not None
    none = dict.fromkeys(("up", "down", "unknown", "closed"), 0)
    backend.shown.told["counts"] = {**none, **counts, "total": 4}
    async with open_page("/public/") as page:
        await expect(page.get_by_role("status")).to_have_text(text)
        await expect(page.locator(f".headline.{kind}")).to_be_visible()


async def test_it_renews_itself_and_keeps_the_last_when_that_fails(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page("/public/", clock=True, expected_errors=("503",)) as page:
        await expect(stores(page)).to_have_count(4)
        told = backend.shown.told
        backend.shown.told = None
        await page.clock.run_for(31_000)
        await expect(page.get_by_role("alert")).to_contain_text("the last that we heard")
        await expect(stores(page)).to_have_count(4)

        backend.shown.told = copy.deepcopy(told)
        assert backend.shown.told is not None
        backend.shown.told["stores"][0]["name"] = "Uptown"
        await page.clock.run_for(31_000)
        await expect(stores(page).first).to_contain_text("Uptown")
        await expect(page.locator("#notice")).to_be_hidden()


async def test_without_an_answer_it_says_so(open_page: OpenPage, backend: Backend) -> None:
    backend.shown.told = None
    async with open_page("/public/", expected_errors=("503",)) as page:
        await expect(page.get_by_role("alert")).to_contain_text("the Kafka broker is out of reach")
        await expect(page.get_by_role("status")).to_have_text("No status yet")


async def test_there_is_no_way_into_the_api(open_page: OpenPage, backend: Backend) -> None:
    async with open_page("/public/") as page:
        await expect(stores(page)).to_have_count(4)
        assert await page.locator("a, button, input, form").count() == 0
    assert all(" /public/" in asked for asked in backend.asked if "favicon" not in asked)


@pytest.mark.parametrize(
    "options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"]
)
async def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(
    open_page: OpenPage, options: dict[str, Any]
) -> None:
    async with open_page("/public/", **options) as page:
        await expect(stores(page)).to_have_count(4)
        assert await violations(page) == []
        width = await page.evaluate("document.documentElement.clientWidth")
        assert await page.evaluate("document.documentElement.scrollWidth") == width
