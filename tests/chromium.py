"""Starts Debian's Chromium for a test, or skips the test where Chromium is not installed."""

from __future__ import annotations

import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

NO_CHROMIUM = "no Chromium: apt-get install -y --no-install-recommends chromium"


@asynccontextmanager
async def chromium(*options: str) -> AsyncIterator[Browser]:
    """Run Chromium without a window, with further options of its command line."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip(NO_CHROMIUM)
    # imported here, because a skipped test needs no playwright
    from playwright.async_api import async_playwright  # noqa: PLC0415

    async with async_playwright() as playwright:
        # the sandbox of Chromium refuses to run as root
        arguments = [*options, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()
