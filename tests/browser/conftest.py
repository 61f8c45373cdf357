"""Debian's Chromium opens the real pages: one browser for all tests, a context for each page."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from tests.browser.backend import Backend
from tests.chromium import chromium

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request

# a slow machine must not fail a test
expect.set_options(timeout=20_000)

_LOG_VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`));"""


class OpenPage(Protocol):
    """Opens a page in a context of its own; `options` are those of the context.

    With `clock`, `page.clock` moves the page's timers. `expected_errors` are parts of the
    console's messages that the test causes.
    """

    def __call__(
        self,
        path: str = "/",
        *,
        clock: bool = False,
        expected_errors: tuple[str, ...] = (),
        **options: Any,
    ) -> AbstractAsyncContextManager[Page]: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def backend() -> Backend:
    return Backend()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, backend: Backend) -> AsyncIterator[OpenPage]:
    """Yield a function that opens pages of the backend, and check the same rules for all pages.

    No error is in the console, the content security policy is not violated, and no other host is
    requested. Errors that a test expects, such as a 503 that it causes, are left out.
    """
    expected: list[str] = []
    problems: list[str] = []

    async with TestServer(backend.app()) as server:
        origin = str(server.make_url("/"))

        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                problems.append(message.text)

        def on_request(request: Request) -> None:
            if not request.url.startswith(origin):
                problems.append(f"a request to {request.url}")

        @asynccontextmanager
        async def open_page(
            path: str = "/",
            *,
            clock: bool = False,
            expected_errors: tuple[str, ...] = (),
            **options: Any,
        ) -> AsyncIterator[Page]:
            expected.extend(expected_errors)
            context: BrowserContext = await browser.new_context(base_url=origin, **options)
            try:
                await context.add_init_script(_LOG_VIOLATIONS)
                context.on("console", on_console)
                context.on("weberror", lambda error: problems.append(str(error.error)))
                context.on("request", on_request)
                page = await context.new_page()
                if clock:
                    await page.clock.install()
                await page.goto(path)
                yield page
            finally:
                await context.close()

        yield open_page
        backend.stop()
    assert [text for text in problems if not any(part in text for part in expected)] == []
