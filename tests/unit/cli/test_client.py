"""The client of the commands against real HTTP servers: scripted ones, and the API itself."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from api.app import create_app
from stream_app.cli import client as client_module
from stream_app.cli.client import ApiClient, ApiError
from stream_app.cli.forget import forget
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import SECOND
from stream_app.errors import ReportError
from tests.fakes import FakeGateway, report_state
from tests.unit.api.answers import CONTENT, REPORT, STORE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stream_app.contracts.report_requests import ReportRequestRecord

ACCEPTED = (202, {"report_id": REPORT})
RUNNING = (202, {"status": "running"})
DONE = (200, {"report_id": REPORT, "status": "complete", **CONTENT})
BUSY = (503, {"detail": "the Kafka broker is out of reach; try again later"})


HUNG_UP = (0, "")
FULL = (429, {"detail": "too many reports are open; try again later"})
DEADLINE = 120 * SECOND


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST_WAIT_SECONDS", "_LONGEST_WAIT_SECONDS", "_BUSY_WAIT_SECONDS"):
        monkeypatch.setattr(client_module, name, 0)


class Api:
    """Gives its answers one after another; records method, path and body of every call."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str, str]] = []
        self.accepted: set[str] = set()

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append((request.method, request.path, await request.text()))
        self.accepted.add(request.headers["Accept"])
        status, body = self.answers.pop(0)
        if status == HUNG_UP[0]:
            assert request.transport is not None
            request.transport.abort()
        if isinstance(body, str):
            return web.Response(status=status, text=body, content_type="text/html")
        return web.json_response(body, status=status)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[web.Application], Any]]:
    """Start an application: `await serve(app)` returns its address."""
    servers: list[TestServer] = []

    async def start(app: web.Application) -> str:
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        return str(server.make_url("/"))

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
def api(serve: Any) -> Callable[..., Any]:
    """Start an API that gives the answers: `await api(...)` returns it and its address."""

    async def start(*answers: tuple[int, Any]) -> tuple[Api, str]:
        api = Api(*answers)
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", api.handle)
        return api, await serve(app)

    return start


async def test_a_report_is_triggered_and_fetched_until_it_is_done(api: Any) -> None:
    server, address = await api(ACCEPTED, RUNNING, RUNNING, RUNNING, DONE)
    async with ApiClient(address, DEADLINE) as client:
        assert (await client.report(STORE)).fields == DONE[1]
    fetch = ("GET", f"/get_report/{REPORT}", "")
    assert server.calls == [("POST", f"/trigger_report/{STORE}", ""), *[fetch] * 4]
    assert server.accepted == {"application/json"}


async def test_a_reference_time_is_passed_on(api: Any) -> None:
    server, address = await api(ACCEPTED, DONE)
    async with ApiClient(address, DEADLINE) as client:
        await client.report(STORE, 1_710_072_000_000_001)
    assert server.calls[0][2] == '{"reference_time":"2024-03-10T12:00:00.000001Z"}'


async def test_the_spec_of_a_report_is_passed_on(api: Any) -> None:
    server, address = await api(ACCEPTED, DONE)
    async with ApiClient(address, DEADLINE) as client:
        await client.report(STORE, spec=ReportSpec(duration=90 * SECOND, daily=True))
    assert server.calls[0][2] == '{"duration":"PT90S","daily":true}'


async def test_a_busy_service_is_asked_again(api: Any) -> None:
    server, address = await api(BUSY, FULL, ACCEPTED, BUSY, RUNNING, FULL, DONE)
    async with ApiClient(address, DEADLINE) as client:
        assert (await client.report(STORE)).fields == DONE[1]
    assert [method for method, _, _ in server.calls] == ["POST"] * 3 + ["GET"] * 4


async def test_an_api_that_goes_away_for_a_while_is_asked_again(api: Any) -> None:
    server, address = await api(ACCEPTED, HUNG_UP, RUNNING, HUNG_UP, DONE)
    async with ApiClient(address, DEADLINE) as client:
        assert (await client.report(STORE)).fields == DONE[1]
    assert server.answers == []


class Clock:
    """A clock that is twenty seconds later at each call."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 20.0
        return self.now


@pytest.mark.parametrize(
    ("first", "then", "last_answer"),
    [
        ([], BUSY, "the Kafka broker is out of reach; try again later"),
        ([], FULL, "too many reports are open; try again later"),
        ([ACCEPTED], BUSY, "the Kafka broker is out of reach; try again later"),
        ([ACCEPTED], RUNNING, "running"),
        ([ACCEPTED], HUNG_UP, r"the API does not answer \(.+\)"),
    ],
)
async def test_the_client_gives_up_long_after_the_deadline(
    api: Any, first: list[Any], then: Any, last_answer: str
) -> None:
    """The deadline is 120 s and the margin 30 s: the clock passes both in the eighth step."""
    _, address = await api(*first, *[then] * 100)
    clock = Clock()
    async with ApiClient(address, DEADLINE, clock) as client:
        with pytest.raises(ApiError) as given_up:
            await client.report(STORE)
    assert clock.now == 20.0 + 8 * 20.0
    message = str(given_up.value)
    assert re.fullmatch(
        f"no report within 150 s; the last answer of {address.rstrip('/')}: {last_answer}",
        message,
    )


async def test_a_failed_report_is_an_error_with_its_reason(api: Any) -> None:
    _, address = await api(ACCEPTED, RUNNING, (410, {"status": "failed", "reason": "no poll yet"}))
    async with ApiClient(address, DEADLINE) as client:
        with pytest.raises(ReportError, match=r"^no poll yet$"):
            await client.report(STORE)


@pytest.mark.parametrize(
    "answers",
    [
        [(404, {"detail": "store x is unknown"})],
        [(422, {"detail": "store x is unknown"})],
        [(500, {"detail": "store x is unknown"})],
        [ACCEPTED, (404, {"detail": "store x is unknown"})],
        [ACCEPTED, RUNNING, (500, {"detail": "store x is unknown"})],
    ],
)
async def test_a_refusal_is_an_error_with_its_detail(api: Any, answers: list[Any]) -> None:
    server, address = await api(*answers)
    async with ApiClient(address, DEADLINE) as client:
        with pytest.raises(ApiError, match=r"^store x is unknown$"):
            await client.report(STORE)
    assert server.answers == []


def unused_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def no_api_error(address: str) -> str:
    async with ApiClient(address, DEADLINE) as client:
        with pytest.raises(ApiError) as refused:
            await client.report(STORE)
    return str(refused.value)


async def test_where_no_api_answers_one_line_says_what_to_do() -> None:
    address = unused_address()
    message = await no_api_error(address)
    assert message.startswith(f"no store-uptime API answers at {address} (")
    assert message.endswith("start one with `store-uptime up`, or name another with --api")
    assert "\n" not in message


async def test_another_web_server_is_no_api(api: Any) -> None:
    _, address = await api((200, "<h1>It works!</h1>"))
    message = await no_api_error(address)
    assert message.startswith(f"no store-uptime API answers at {address.rstrip('/')} (")
    assert "\n" not in message


async def test_a_text_that_is_no_address_is_an_error() -> None:
    assert "no store-uptime API answers at nonsense" in await no_api_error("nonsense")


async def test_a_client_without_a_session_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await ApiClient("http://127.0.0.1:1", DEADLINE).report(STORE)


class QuickGateway(FakeGateway):
    """Completes every report, or fails it, as soon as it is requested."""

    failure: str | None = None

    async def request_report(self, request: ReportRequestRecord, *, query: bool = False) -> None:
        await super().request_report(request, query=query)
        status = "failed" if self.failure else "complete"
        self.reports[request.report_id] = report_state(
            request.report_id, status, reason=self.failure, content=CONTENT
        )


async def test_client_and_api_fit_together(serve: Any) -> None:
    gateway = QuickGateway(STORE)
    address = await serve(create_app(gateway))
    async with ApiClient(address, DEADLINE) as client:
        report = await client.report(STORE, 5)
        assert report.fields == {
            "report_id": gateway.requests[0].report_id,
            "status": "complete",
            **CONTENT,
        }
        assert gateway.requests[0].reference_time == 5
        spec = ReportSpec(start=4, exact=True)
        await client.report(STORE, 5, spec)
        assert gateway.requests[1].spec == spec

        with pytest.raises(ApiError, match="is unknown: it has no poll, hours or timezone"):
            await client.report(REPORT)

        gateway.failure = "no poll yet"
        with pytest.raises(ReportError, match="no poll yet"):
            await client.report(STORE)


GONE = (202, {"store_id": STORE, "removed": True})
UNKNOWN_STORE = (404, {"detail": "store is unknown"})


@pytest.mark.parametrize(
    ("answers", "removed"),
    [
        ([GONE], True),
        ([UNKNOWN_STORE], False),
        ([BUSY, FULL, GONE], True),
        ([BUSY, UNKNOWN_STORE], True),
    ],
)
async def test_a_store_is_removed(api: Any, answers: list[Any], removed: bool) -> None:
    server, address = await api(*answers)
    async with ApiClient(address, DEADLINE) as client:
        assert await client.remove(STORE) is removed
    assert server.calls == [("DELETE", f"/stores/{STORE}", "")] * len(answers)


def test_the_command_prints_which_stores_were_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {STORE}

    async def remove(_: ApiClient, store_id: str) -> bool:
        return store_id in known

    monkeypatch.setattr(ApiClient, "remove", remove)
    other = STORE.replace("1", "2")
    run = CliRunner().invoke(forget, [STORE.upper(), other, STORE, "--api", "http://127.0.0.1:1"])
    assert run.exit_code == 1
    assert run.output == f"store {STORE} is removed\nstore-uptime: store {other} is unknown\n"
    assert CliRunner().invoke(forget, [STORE, "--api", "http://127.0.0.1:1"]).exit_code == 0
    assert CliRunner().invoke(forget, ["7"]).exit_code == 2
    assert CliRunner().invoke(forget, []).exit_code == 2
