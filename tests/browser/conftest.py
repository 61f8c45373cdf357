"""Debian's Chromium on the real pages; one browser for all tests, a clean context for each."""

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

# slow machines are no failures
expect.set_options(timeout=20_000)

_TELL_VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`));"""


class OpenPage(Protocol):
    """Opens a page in a context of its own; `options` are those of the context.

    With `clock`, `page.clock` moves the page's timers. `expected_errors` are parts of what the
    test makes the console say.
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
    """Opens pages of the backend, and holds every test's pages to the same rules.

    Nothing in the console, nothing against the content security policy, no other host. Only what
    a test expects, such as a 503 that it has made, is left out.
    """
    expected: list[str] = []
    broken: list[str] = []

    async with TestServer(backend.app()) as server:
        origin = str(server.make_url("/"))

        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                broken.append(message.text)

        def on_request(request: Request) -> None:
            if not request.url.startswith(origin):
                broken.append(f"a request to {request.url}")

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
                await context.add_init_script(_TELL_VIOLATIONS)
                context.on("console", on_console)
                context.on("weberror", lambda error: broken.append(str(error.error)))
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
    assert [text for text in broken if not any(part in text for part in expected)] == []
