"""The page `/docs` shows every call of the API and can try it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from api.app import OPERATIONS, RESOURCES
from tests.browser.axe_core import violations

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.conftest import OpenPage

GROUPS = {each.group.name: each.group.text for each in RESOURCES if each.group is not None}

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def wait_until_loaded(page: Page) -> None:
    await expect(page.locator(".opblock-tag")).to_have_count(len(GROUPS))


async def open_every_group(page: Page) -> None:
    for group in GROUPS:
        await page.locator(f"#operations-tag-{group} button.expand-operation").click()
    await expect(page.locator(".opblock-summary-path")).to_have_count(len(OPERATIONS))


async def test_groups_are_closed_each_with_a_sentence(open_page: OpenPage) -> None:
    async with open_page("/docs") as page:
        await wait_until_loaded(page)
        await expect(page.locator(".opblock-summary-path")).to_have_count(0)
        for group, text in GROUPS.items():
            await expect(page.locator(f"#operations-tag-{group}")).to_contain_text(text)
        await open_every_group(page)


async def test_a_link_leads_back_to_the_overview(open_page: OpenPage) -> None:
    async with open_page("/docs") as page:
        await wait_until_loaded(page)
        await expect(page.locator("main")).to_have_count(1)  # Swagger UI brings one
        await page.get_by_role("link", name="Store uptime", exact=True).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_colours_have_enough_contrast(open_page: OpenPage, scheme: str) -> None:
    """The page chooses the colours; Swagger UI itself nests and labels its parts."""

    async def too_pale() -> list[str]:
        return [each for each in await violations(page) if each.startswith("color-contrast")]

    async with open_page("/docs", color_scheme=scheme) as page:
        await wait_until_loaded(page)
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        assert await violations(page) == []
        await open_every_group(page)
        assert await too_pale() == []
        await page.locator("#operations-polls-post_status .opblock-summary-control").click()
        await page.get_by_role("button", name="Try it out").click()
        await expect(page.get_by_role("button", name="Execute")).to_be_visible()
        assert await too_pale() == []
