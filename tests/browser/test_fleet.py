from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.data import STORE

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_fleet_is_shown_worst_first(open_page: OpenPage) -> None:
    async with open_page() as page:
        await expect(page.locator("#rows tr")).to_have_count(50)
        await expect(page.locator("#rows tr").first).to_contain_text(STORE)
        await expect(page.get_by_role("button", name="3 down")).to_be_visible()
