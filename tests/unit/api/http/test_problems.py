"""Every error has one shape, wherever it is raised."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.http.problems import ProblemError, problem_middleware
from api.reports.schemas import MAX_BODY_BYTES
from stream_app.errors import BrokerUnavailableError, ReportError, TableError
from tests.http_client import TestClient
from tests.unit.api.answers import REPORT, STORE, problem_of

if TYPE_CHECKING:
    from tests.fakes import FakeGateway


@pytest.mark.parametrize(
    "path", ["/nope", "/store", "/trigger_report/", "/get_report", "/favicon.ico"]
)
async def test_an_unknown_path_is_named(client: TestClient, path: str) -> None:
    detail = await problem_of(await client.get(path), HTTPStatus.NOT_FOUND)
    assert detail == f"no such path: {path}"


async def test_only_the_beginning_of_a_long_path_is_named(client: TestClient) -> None:
    await problem_of(await client.get("/" + "x" * 4000), HTTPStatus.NOT_FOUND)


async def test_a_path_with_a_line_break_stays_on_one_line(client: TestClient) -> None:
    detail = await problem_of(await client.get("/a%0Ab"), HTTPStatus.NOT_FOUND)
    assert detail == "no such path: /a%0Ab"


async def test_a_line_break_in_a_path_makes_no_line_of_the_log(
    client: TestClient, gateway: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "api.http.problems")
    gateway.error = BrokerUnavailableError("no broker")
    await client.get(f"/get_report/%0A{REPORT}")
    (record,) = caplog.records
    assert record.getMessage() == f"GET /get_report/%0A{REPORT}: no broker"


@pytest.mark.parametrize(
    ("method", "path", "allow", "advice"),
    [
        ("GET", f"/trigger_report/{STORE}", "POST", "use POST"),
        ("DELETE", f"/trigger_report/{STORE}", "POST", "use POST"),
        ("POST", f"/get_report/{REPORT}", "GET, HEAD", "use GET or HEAD"),
        ("PUT", "/healthz", "GET, HEAD", "use GET or HEAD"),
        ("POST", "/readyz", "GET, HEAD", "use GET or HEAD"),
    ],
)
async def test_an_error_about_a_method_names_those_that_are_allowed(
    client: TestClient, method: str, path: str, allow: str, advice: str
) -> None:
    response = await client.request(method, path)
    detail = await problem_of(response, HTTPStatus.METHOD_NOT_ALLOWED)
    assert response.headers["Allow"] == allow
    assert detail == f"{method} is not allowed here, {advice}"


async def test_a_body_that_is_too_large_is_413(client: TestClient, gateway: FakeGateway) -> None:
    path = f"/trigger_report/{STORE}"
    assert (await client.post(path, data=b" " * MAX_BODY_BYTES)).status == HTTPStatus.ACCEPTED
    response = await client.post(path, data=b" " * (MAX_BODY_BYTES + 1))
    detail = await problem_of(response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    assert f"{MAX_BODY_BYTES:,}" in detail
    assert len(gateway.requests) == 1


async def test_an_unexpected_error_is_500_and_its_text_stays_in_the_log(
    client: TestClient, gateway: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.error = ZeroDivisionError("figures of hunter2")
    response = await client.get(f"/get_report/{REPORT}")
    detail = await problem_of(response, HTTPStatus.INTERNAL_SERVER_ERROR)
    assert detail == "an internal error; the log of the API tells more"
    assert "hunter2" in caplog.text
    assert f"GET /get_report/{REPORT}" in caplog.text


def client_of_a_handler_that_raises(error: Exception) -> TestClient:
    async def fail(_request: web.Request) -> web.Response:
        raise error

    app = web.Application(middlewares=[problem_middleware])
    app.router.add_get("/", fail)
    return TestClient(TestServer(app))


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (ProblemError(HTTPStatus.CONFLICT, "twice"), HTTPStatus.CONFLICT, "twice"),
        (ReportError("no poll yet"), HTTPStatus.UNPROCESSABLE_ENTITY, "no poll yet"),
        (web.HTTPForbidden(text="not you"), HTTPStatus.FORBIDDEN, "not you"),
        (web.HTTPServiceUnavailable(), HTTPStatus.SERVICE_UNAVAILABLE, "503: Service Unavailable"),
        (
            TableError("not meant for HTTP"),
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "an internal error; the log of the API tells more",
        ),
    ],
)
async def test_an_error_of_a_handler_becomes_a_problem(
    error: Exception, status: HTTPStatus, detail: str
) -> None:
    async with client_of_a_handler_that_raises(error) as client:
        response = await client.get("/")
        assert await problem_of(response, status) == detail
        assert "Retry-After" not in response.headers


async def test_a_redirect_is_no_error() -> None:
    async with client_of_a_handler_that_raises(web.HTTPFound("/elsewhere")) as client:
        response = await client.get("/", allow_redirects=False)
        assert response.status == HTTPStatus.FOUND
        assert response.headers["Location"] == "/elsewhere"
