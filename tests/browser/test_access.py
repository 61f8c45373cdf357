"""Pages work for everyone: with keys alone, screen readers, dark mode, phones and less motion."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.axe_core import violations
from tests.browser.data import STORE

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = ["/", f"/store/{STORE}"]
PHONE = {"width": 320, "height": 640}


async def wait_until_loaded(page: Page) -> None:
    """Wait until the whole page is loaded."""
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("[aria-busy='true'], .loading")).to_have_count(0)


async def outlined(page: Page) -> str:
    """Return the name of the element that has the focus, which must be outlined."""
    style, width, name = await page.evaluate(
        """() => {
            const node = document.activeElement;
            const style = getComputedStyle(node);
            return [style.outlineStyle, style.outlineWidth, node.textContent.trim() || node.name];
        }"""
    )
    assert (style, width) == ("solid", "2px"), name
    return str(name)


async def test_the_overview_can_be_used_by_keys_alone(open_page: OpenPage) -> None:
    async with open_page() as page:
        await wait_until_loaded(page)
        press = page.keyboard.press
        await press("Tab")
        assert await outlined(page) == "Skip to the stores"
        await expect(page.get_by_role("link", name="Skip to the stores")).to_be_in_viewport()
        await press("Enter")
        await expect(page.locator("#stores")).to_be_focused()
        await press("Tab")
        assert await outlined(page) == STORE
        # a slash goes to the search from anywhere
        await press("/")
        await expect(page.get_by_label("Search by store id")).to_be_focused()
        await page.keyboard.type(STORE[:5])
        await expect(page.locator("#rows tr")).to_have_count(1)
        # where a slash is text
        await press("/")
        await expect(page.get_by_label("Search by store id")).to_have_value(f"{STORE[:5]}/")
        await press("Backspace")
        assert await outlined(page) == "q"
        await press("Tab")
        assert (await outlined(page)).startswith("All timezones")
        await press("Tab")
        assert (await outlined(page)).startswith("Worst first")
        await press("Tab")
        assert await outlined(page) == "Clear filters"
        await press("Enter")
        await expect(page.locator("#rows tr")).to_have_count(50)
        await expect(page.get_by_label("Search by store id")).to_be_focused()
        # back to the counts, which are before the search
        await press("Shift+Tab")
        assert "closed now" in await outlined(page)
        await press("Space")
        await expect(page.locator("#rows tr")).to_have_count(12)


async def test_keys_alone_lead_from_the_overview_to_a_report(
    open_page: OpenPage, backend: Backend
) -> None:
    async with open_page("/?state=down") as page:
        await wait_until_loaded(page)
        press = page.keyboard.press
        await press("Tab")
        await press("Enter")
        await press("Tab")
        await press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text(STORE)
        await wait_until_loaded(page)
        await press("Tab")
        assert await outlined(page) == "Skip to the store"
        await press("Enter")
        await press("Tab")
        assert "All stores" in await outlined(page)
        await press("Tab")
        assert await outlined(page) == "Create report"
        await press("Enter")
        await backend.set_report(status="complete")
        await expect(page.get_by_text("Report ready")).to_be_visible()
        await press("Tab")
        assert await outlined(page) == "Download CSV"
        async with page.expect_download():
            await press("Enter")


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_has_its_landmarks(open_page: OpenPage, path: str) -> None:
    async with open_page(path) as page:
        await wait_until_loaded(page)
        for role in ("banner", "main"):
            await expect(page.get_by_role(role)).to_have_count(1)
        await expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_have_count(1)


@pytest.mark.parametrize("size", [None, PHONE])
async def test_the_list_is_a_table_on_every_screen(open_page: OpenPage, size: Any) -> None:
    async with open_page(**({"viewport": size} if size else {})) as page:
        await wait_until_loaded(page)
        table = page.get_by_role("table")
        await expect(table.get_by_role("rowheader")).to_have_count(50)
        await expect(table.get_by_role("columnheader", name="State")).to_have_count(1)
        await expect(table.get_by_role("row", name=STORE).get_by_role("cell").first).to_have_text(
            "Down"
        )


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "options",
    [{}, {"color_scheme": "dark"}, {"viewport": PHONE}],
    ids=["light", "dark", "phone"],
)
async def test_axe_finds_nothing_serious(
    open_page: OpenPage, backend: Backend, path: str, options: dict[str, Any]
) -> None:
    async with open_page(path, **options, reduced_motion="reduce") as page:
        await wait_until_loaded(page)
        await page.get_by_role("button", name="Create report").click()
        await backend.set_report(status="running", parts_done=1, parts=2)
        await expect(page.get_by_role("progressbar")).to_be_visible()
        assert await violations(page) == []
        await backend.set_report(status="complete")
        await expect(page.get_by_role("link", name="Download CSV")).to_be_visible()
        assert await violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/?q=00000000", "/?state=down", f"/store/{STORE}", "/store/7"])
async def test_axe_finds_nothing_serious_on_pages_with_errors(
    open_page: OpenPage, backend: Backend, path: str, scheme: str
) -> None:
    if path != "/store/7":
        backend.failing["/fleet/events"] = HTTPStatus.SERVICE_UNAVAILABLE
    if path == f"/store/{STORE}":
        backend.failing["/stores/"] = HTTPStatus.SERVICE_UNAVAILABLE
    async with open_page(
        path, color_scheme=scheme, reduced_motion="reduce", expected_errors=("503", "422")
    ) as page:
        await expect(page.locator("[aria-busy='true'], .loading")).to_have_count(0)
        assert await violations(page) == []


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_dark_or_light_as_the_browser_is_set(
    open_page: OpenPage, path: str
) -> None:
    async def lightness(page: Page, what: str) -> float:
        colour = await page.locator("body").evaluate(f"(body) => getComputedStyle(body).{what}")
        return sum(int(part) for part in colour.strip("rgb()").split(",")[:3]) / 765

    async with open_page(path, color_scheme="light") as page:
        assert await lightness(page, "backgroundColor") > 0.9
        assert await lightness(page, "color") < 0.2
    async with open_page(path, color_scheme="dark") as page:
        assert await lightness(page, "backgroundColor") < 0.1
        assert await lightness(page, "color") > 0.8


@pytest.mark.parametrize("path", [*PAGES, "/?q=00000000", f"/store/{STORE}x"])
@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1280])
async def test_no_screen_scrolls_sideways(
    open_page: OpenPage, backend: Backend, path: str, width: int
) -> None:
    size = {"width": width, "height": 700}
    async with open_page(path, viewport=size, expected_errors=("503", "422")) as page:
        await expect(page.locator("[aria-busy='true'], .loading")).to_have_count(0)
        if path in PAGES:
            # with the widest content that there may be
            await page.get_by_role("button", name="Create report").click()
            await backend.set_report(status="failed", reason="a reason that is long " * 8)
            await expect(page.locator(".failure")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [320, 1020, 1021, 1121, 1201, 1280, 1301, 1600])
async def test_the_list_is_as_wide_as_its_card_with_the_longest_values(
    open_page: OpenPage, backend: Backend, width: int
) -> None:
    longest = backend.stores[STORE]
    longest["timezone"] = "America/Argentina/ComodRivadavia"
    longest["state"] = "unknown"
    longest["last_poll"] = {"status": "inactive", "timestamp_utc": "2022-12-12T17:20:00Z"}
    longest["figures"].update(downtime_last_week=168.0, downtime_last_day=24.0)
    async with open_page(
        "/?sort=id&q=" + STORE[:4], viewport={"width": width, "height": 700}
    ) as page:
        await wait_until_loaded(page)
        await expect(page.locator("#rows")).to_contain_text("456 days ago")
        card, table = await page.evaluate(
            """["#stores", "#stores table"].map((name) => document.querySelector(name))
                .map((node) => [node.clientWidth, node.scrollWidth])"""
        )
        assert card[0] == card[1]
        assert table[1] <= card[0]


async def test_a_phone_shows_every_figure_with_its_name(open_page: OpenPage) -> None:
    async with open_page(viewport=PHONE) as page:
        await wait_until_loaded(page)
        row = page.locator("#rows tr").first
        for text in ("Down", STORE, "America/Chicago", "9.50 h"):
            await expect(row.get_by_text(text, exact=True)).to_be_visible()
        name = (
            await row.locator(".figure")
            .nth(1)
            .evaluate("(cell) => getComputedStyle(cell, '::before').content")
        )
        assert name == '"Down, last day"'


@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
async def test_a_changed_row_moves_only_where_motion_is_wanted(
    open_page: OpenPage, backend: Backend, motion: str, moves: bool
) -> None:
    async with open_page(reduced_motion=motion) as page:
        await wait_until_loaded(page)
        await backend.change(STORE, "up", "active")
        row = page.locator("#rows tr.changed th")
        await expect(row).to_have_count(1)
        name = await row.evaluate("(cell) => getComputedStyle(cell).animationName")
        assert (name == "changed") == moves
