"""No parameter of a query is ignored, on any route and by any method."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestServer

from api.app import OPERATIONS, RESOURCES, create_app
from api.openapi.openapi import openapi
from api.public.app import MOUNTED_AT, public_app
from tests.conformance import load_description
from tests.fakes import FakeGateway
from tests.http_client import TestClient
from tests.unit.api.answers import REPORT, STORE, problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = {"store_id": STORE, "report_id": REPORT, "name": "base.css", "file": "docs.css"}


def all_routes(app: Any) -> Iterator[tuple[str, str]]:
    for route in app.router.routes():
        yield route.method, route.resource.canonical


ROUTES = sorted(all_routes(create_app(FakeGateway())))


not_described = {key for resource in RESOURCES for key in resource.not_described}


def is_page(route: tuple[str, str]) -> bool:
    method, path = route
    return (method.replace("HEAD", "GET"), path) in not_described


DESCRIBED = [route for route in ROUTES if not is_page(route)]
PAGES = [route for route in ROUTES if is_page(route)]
LISTS = {"state", "columns"}
"""Parameters that may be given more than once."""

ONE_VALUE = [
    (method, path, parameter.name)
    for (method, path), operation in OPERATIONS.items()
    for parameter in operation.parameters
    if parameter.where == "query" and parameter.name not in LISTS
]


def test_there_are_routes_of_every_kind() -> None:
    assert {method for method, _ in DESCRIBED} >= {"GET", "HEAD", "POST", "PUT", "DELETE"}
    assert ("HEAD", "/healthz") in DESCRIBED
    assert ("HEAD", "/") in PAGES


async def refusal(client: Any, method: str, path: str, query: str) -> str:
    """Return the detail of a 422, or no text for HEAD, whose answer has no body."""
    response = await client.request(method, path.format_map(VALUES) + query, data=b"{}")
    if method == "HEAD":
        assert response.status == HTTPStatus.UNPROCESSABLE_ENTITY
        return ""
    return await problem_of(response, HTTPStatus.UNPROCESSABLE_ENTITY)


@pytest.mark.parametrize(("method", "path"), DESCRIBED, ids=lambda text: text)
async def test_an_unknown_parameter_is_refused_and_does_nothing(
    client: TestClient, gateway: FakeGateway, method: str, path: str
) -> None:
    for query in ("nonsense=1", "nonsense", "nonsense=", "=1", "%6eonsense=1&limit=1"):
        detail = await refusal(client, method, path, f"?{query}")
        if method != "HEAD":
            assert detail.startswith("unknown parameters: ")
            assert ("nonsense" in detail) == ("onsense" in query)
    assert gateway.broker.records == gateway.requests == gateway.queries == []


@pytest.mark.parametrize("query", ["?timestamp_utc=2023-01-25T00:00:00Z", "?store_id=" + STORE])
@pytest.mark.parametrize("path", [path for method, path in DESCRIBED if method == "POST"])
async def test_a_field_of_the_body_is_refused_as_a_parameter(
    client: TestClient, gateway: FakeGateway, path: str, query: str
) -> None:
    detail = await refusal(client, "POST", path, query)
    assert detail.endswith("; known are none")
    assert gateway.broker.records == gateway.requests == []


@pytest.mark.parametrize(("method", "path", "name"), ONE_VALUE)
async def test_a_parameter_must_be_given_once_and_with_a_value(
    client: TestClient, method: str, path: str, name: str
) -> None:
    for value in ("", "%20", "+"):
        detail = await refusal(client, method, path, f"?{name}={value}")
        assert detail == f"{name} is empty: give it a value, or leave it out"
    detail = await refusal(client, method, path, f"?{name}=1&{name}=1")
    assert detail == f"{name} is there 2 times: say it once"


async def test_states_may_be_given_more_than_once(client: TestClient) -> None:
    for query in ("state=up&state=down", "state=up,down"):
        response = await client.get(f"/fleet?{query}")
        assert response.status == HTTPStatus.OK
    for query in ("state=up&state=", "state="):
        assert "state is empty" in await refusal(client, "GET", "/fleet", f"?{query}")
    assert "state is not one of" in await refusal(client, "GET", "/fleet", "?state=up,")


@pytest.mark.parametrize(("method", "path"), PAGES)
async def test_a_page_for_people_accepts_unknown_parameters(
    client: TestClient, method: str, path: str
) -> None:
    path = path.format_map(VALUES)
    with_parameters = await client.request(method, path + "?utm_source=mail&state=down&state=")
    plain = await client.request(method, path)
    assert with_parameters.status == plain.status


@pytest.mark.parametrize("path", ["/status.json", "/badges/fleet.svg", "/badges/{store_id}.svg"])
async def test_the_status_page_on_its_own_port_refuses_unknown_parameters_too(path: str) -> None:
    gateway = FakeGateway(STORE)
    async with TestClient(TestServer(public_app(gateway.public_status))) as client:
        detail = await refusal(client, "GET", path, "?nonsense=1")
    assert detail.startswith("unknown parameters: 'nonsense'")
    assert ("GET", MOUNTED_AT + path) in OPERATIONS


def test_every_operation_describes_this_refusal() -> None:
    document = openapi(create_app(FakeGateway()), RESOURCES)
    descriptions = [
        operation["responses"]["422"]["description"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len(descriptions) == len(OPERATIONS)
    assert all(
        "A query parameter is unknown, empty, or given twice." in text for text in descriptions
    )


@pytest.mark.parametrize(
    ("method", "path"), [key for key in OPERATIONS if 422 not in OPERATIONS[key].answers]
)
async def test_an_operation_that_refuses_nothing_else_answers_as_described(
    client: TestClient, method: str, path: str
) -> None:
    # test_openapi.py tests the other operations
    response = await client.request(method, path.format_map(VALUES) + "?nonsense=1")
    content = await response.json(content_type=None)
    described_problem = load_description()[path][method].definition.raw["responses"]["422"][
        "content"
    ]
    assert list(described_problem) == ["application/problem+json"]
    assert set(content) == {"type", "title", "status", "detail"}
