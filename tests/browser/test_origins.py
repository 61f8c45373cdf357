"""A page of another origin can change nothing in the API, and our own page can."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.http.host_and_origin import SAFE_METHODS
from tests.chromium import chromium
from tests.fakes import FakeGateway
from tests.unit.api.answers import REPORT, STORE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

VALUES = {"store_id": STORE, "report_id": REPORT}

_POSTS_EVERYWHERE = """async ([origin, paths, store]) => {
  const said = {status: "inactive", store_id: store, timezone: "UTC", hours: []};
  const answers = [];
  for (const path of paths) {
    const answer = await fetch(origin + path, {
      method: "POST", mode: "no-cors", body: JSON.stringify(said),
    });
    answers.push(answer.type);
  }
  return answers;
}"""

_READS = """async (url) => {
  const answer = await fetch(url);
  return [answer.status, await answer.text()];
}"""

_LISTENS = """(url) => new Promise((resolve) => {
  const events = new EventSource(url);
  events.onerror = () => resolve("refused");
  events.addEventListener("fleet", () => resolve("heard"));
})"""

_PUTS = """async (url) => {
  const answer = await fetch(url, {
    method: "PUT",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({timezone: "UTC"}),
  });
  return answer.status;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def attacked() -> AsyncIterator[FakeGateway]:
    """Yield a gateway whose broker must hold no record in the end."""
    gateway = FakeGateway(STORE)
    gateway.poll(STORE, 1_710_072_000_000_000, active=True)
    yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def api(attacked: FakeGateway) -> AsyncIterator[TestServer]:
    server = TestServer(create_app(attacked))
    async with server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def evil(api: TestServer) -> AsyncIterator[TestServer]:
    """Yield the server of another origin, whose page has a form that posts to the API."""

    async def page(_request: web.Request) -> web.Response:
        form = (
            f'<form method="post" enctype="text/plain" action="http://127.0.0.1:{api.port}'
            f'/stores/{STORE}/status">'
            """<input name='{"status": "inactive", "x": "' value='"}'></form>"""
        )
        return web.Response(text=form, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    server = TestServer(app)
    async with server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rebound() -> AsyncIterator[Browser]:
    """Yield a browser in which names of other origins resolve to this machine."""
    rules = "MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1"
    async with chromium(f"--host-resolver-rules={rules}") as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def page(rebound: Browser) -> AsyncIterator[Page]:
    context = await rebound.new_context()
    yield await context.new_page()
    await context.close()


def changes(gateway: FakeGateway) -> list[Any]:
    return [*gateway.broker.records, *gateway.requests]


async def test_a_page_of_another_origin_can_send_requests_but_changes_nothing(
    page: Page, api: TestServer, evil: TestServer, attacked: FakeGateway
) -> None:
    paths = [
        route.resource.canonical.format_map(VALUES)
        for route in api.app.router.routes()
        if route.method not in SAFE_METHODS and route.resource is not None
    ]
    assert "/status" in paths
    for origin in (f"http://evil.example:{evil.port}", f"http://127.0.0.1:{evil.port}"):
        await page.goto(origin)
        answers = await page.evaluate(
            _POSTS_EVERYWHERE, [f"http://127.0.0.1:{api.port}", paths, STORE]
        )
        assert answers == ["opaque"] * len(paths), "they reach the API"
    assert changes(attacked) == []


async def test_the_form_of_another_origin_changes_nothing(
    page: Page, api: TestServer, evil: TestServer, attacked: FakeGateway
) -> None:
    await page.goto(f"http://evil.example:{evil.port}/")
    async with page.expect_navigation() as navigation:
        await page.evaluate("document.forms[0].submit()")
    answer = await navigation.value
    assert answer is not None
    assert answer.url.startswith(f"http://127.0.0.1:{api.port}/")
    assert answer.status == HTTPStatus.FORBIDDEN
    assert changes(attacked) == []


async def test_a_page_at_a_name_that_resolves_to_us_reads_and_changes_nothing(
    page: Page, api: TestServer, attacked: FakeGateway
) -> None:
    origin = f"http://rebound.example:{api.port}"
    answer = await page.goto(f"{origin}/")
    assert answer is not None
    assert answer.status == HTTPStatus.MISDIRECTED_REQUEST
    for path in ("/fleet", f"/stores/{STORE}", "/public/status.json", "/metrics"):
        status, text = await page.evaluate(_READS, origin + path)
        assert status == HTTPStatus.MISDIRECTED_REQUEST
        assert STORE not in text
    assert await page.evaluate(_LISTENS, f"{origin}/fleet/events") == "refused"
    status = await page.evaluate(_PUTS, f"{origin}/stores/{STORE}/timezone")
    assert status == HTTPStatus.MISDIRECTED_REQUEST
    assert changes(attacked) == []


async def test_our_own_page_reads_listens_and_changes(
    page: Page, api: TestServer, attacked: FakeGateway
) -> None:
    for number, host in enumerate(("127.0.0.1", "localhost"), start=1):
        origin = f"http://{host}:{api.port}"
        await page.goto(f"{origin}/store/{STORE}")
        status, text = await page.evaluate(_READS, f"{origin}/fleet")
        assert status == HTTPStatus.OK
        assert STORE in text
        assert await page.evaluate(_LISTENS, f"{origin}/fleet/events") == "heard"
        status = await page.evaluate(_PUTS, f"{origin}/stores/{STORE}/timezone")
        assert status == HTTPStatus.ACCEPTED
        assert len(attacked.broker.records) == number
