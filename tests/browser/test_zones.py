"""Local times are those of the API, even in a browser with old tables of timezones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from tests.browser.data import STORE

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.backend import Backend
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

ZONE: Final = "America/Coyhaique"

_LACKS: Final = f"""(() => {{
    const Real = Intl.DateTimeFormat;
    function check(options) {{
        if (options?.timeZone === "{ZONE}") throw new RangeError("Invalid time zone: {ZONE}");
        return options;
    }}
    Intl.DateTimeFormat = function (locale, options) {{ return new Real(locale, check(options)); }};
    const text = Date.prototype.toLocaleString;
    Date.prototype.toLocaleString = function (locale, options) {{
        return text.call(this, locale, check(options));
    }};
}})();"""

_IS_OLD: Final = f"""(() => {{
    const Real = Intl.DateTimeFormat;
    Intl.DateTimeFormat = function (locale, options) {{
        // it is an hour behind
        const timeZone = options?.timeZone === "{ZONE}" ? "Etc/GMT+4" : options?.timeZone;
        return new Real(locale, {{ ...options, timeZone }});
    }};
}})();"""

browsers = pytest.mark.parametrize("tables", [_LACKS, _IS_OLD], ids=["lacks it", "is old"])


async def reload_with(page: Page, tables: str) -> None:
    """Load the page again in a browser with other tables of timezones."""
    await page.add_init_script(tables)
    await page.reload()


def move_to_patagonia(backend: Backend) -> None:
    """Move the store to a timezone that is new, three hours behind UTC all year."""
    offsets = [{"start": "2024-03-05T00:00:00Z", "offset_seconds": -3 * 3600}]
    details = backend.details[STORE]
    for view in ("summary", "timeline", "incidents"):
        details[view].update(timezone=ZONE, utc_offsets=offsets)
    local = {"timezone": ZONE, "local_time": "2024-03-12T14:20:00-03:00"}
    details["summary"].update(local)
    backend.stores[STORE].update(local)
    shown = backend.public.document["stores"][0]
    shown.update(**local, open_changes_local="2024-03-12T23:00:00-03:00")


@browsers
async def test_the_page_of_a_store_shows_the_local_times_of_the_api(
    open_page: OpenPage, backend: Backend, tables: str
) -> None:
    move_to_patagonia(backend)
    async with open_page(f"/store/{STORE}") as page:
        await reload_with(page, tables)
        await expect(page.locator("#facts > span")).to_have_text(
            [
                "Down since 11:45 (2 h 35 min)",
                "last heard 11 min ago: down (Tue 12 Mar, 14:09)",
                f"Tue 14:20 in {ZONE}",
                "closes 23:00, in 8 h 40 min",
            ]
        )
        await expect(page.locator("#timeline-zone")).to_have_text(f"Local time, {ZONE}")
        last = page.locator(".days .segment").last
        await expect(last).to_have_attribute(
            "aria-label", "Tue 12 Mar, 11:45 to 14:20: Down, 2 h 35 min, in business hours"
        )
        x = await last.locator(".bar").get_attribute("x")
        assert float((x or "").rstrip("%")) == pytest.approx(100 * 11.75 / 24, abs=0.001)
        await expect(page.locator(".incidents tbody th").first).to_have_text("Tue 12 Mar, 11:45")


@browsers
async def test_the_overview_shows_the_local_times_of_the_api(
    open_page: OpenPage, backend: Backend, tables: str
) -> None:
    move_to_patagonia(backend)
    async with open_page("/") as page:
        await reload_with(page, tables)
        clock = page.locator("#rows tr").first.locator(".clock")
        await expect(clock).to_have_text("Tue 14:20")
        backend.now = "2024-03-12T17:25:00Z"
        await backend.send_update()
        await expect(clock).to_have_text("Tue 14:25")


@browsers
async def test_the_status_page_shows_the_local_times_of_the_api(
    open_page: OpenPage, backend: Backend, tables: str
) -> None:
    move_to_patagonia(backend)
    async with open_page("/public/") as page:
        await reload_with(page, tables)
        await expect(page.locator(".store").first).to_contain_text("closes 23:00 local time")


async def test_without_offsets_the_page_shows_utc(open_page: OpenPage, backend: Backend) -> None:
    for view in ("summary", "timeline", "incidents"):
        backend.details[STORE][view]["utc_offsets"] = []
    async with open_page(f"/store/{STORE}") as page:
        await expect(page.locator("#facts")).to_contain_text("Tue 17:20 UTC")
        await expect(page.locator("#timeline-zone")).to_have_text("UTC")


async def test_no_script_asks_the_browser_for_another_timezone_than_utc(
    open_page: OpenPage,
) -> None:
    script = """(() => {
        window.zones = [];
        const Real = Intl.DateTimeFormat;
        Intl.DateTimeFormat = function (locale, options) {
            window.zones.push(options?.timeZone);
            return new Real(locale, options);
        };
    })();"""
    for path in ("/", f"/store/{STORE}", "/public/"):
        async with open_page(path) as page:
            await reload_with(page, script)
            await expect(page.locator("#rows tr.loading, [aria-busy='true']")).to_have_count(0)
            assert set(await page.evaluate("window.zones")) == {"UTC"}
