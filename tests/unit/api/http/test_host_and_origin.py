"""The API answers to its own hosts alone, and no page of another host changes anything."""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.http import host_and_origin
from api.http.host_and_origin import SAFE_METHODS, OwnHosts, is_of_this_machine
from api.public.app import public_site
from stream_app.authority import ip_of, parse_authority
from tests.fakes import SETTINGS, FakeGateway
from tests.http_client import TestClient
from tests.unit.api.answers import REPORT, STORE, UNKNOWN, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

NAMED = SETTINGS.replace(api_names="uptime.example.com,proxy.example:8443,[2001:db8::7]")
VALUES = {
    "store_id": STORE,
    "report_id": REPORT,
    "name": "fleet.js",
    "file": "docs.js",
}


def routes_of(app: web.Application) -> list[tuple[str, str]]:
    """Return method and path of every route, with values for the names in braces."""
    return sorted(
        {
            (route.method, route.resource.canonical.format_map(VALUES))
            for route in app.router.routes()
            if route.resource is not None
        }
    )


API_ROUTES = routes_of(create_app(FakeGateway(STORE)))
_GATEWAY = FakeGateway(STORE)
PUBLIC_ROUTES = routes_of(public_site(_GATEWAY.public_status, _GATEWAY.settings))
CHANGES = [(method, path) for method, path in API_ROUTES if method not in SAFE_METHODS]
READS = [(method, path) for method, path in API_ROUTES if method in SAFE_METHODS]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway(STORE, settings=NAMED)


@pytest.fixture
async def site(gateway: FakeGateway) -> AsyncIterator[TestClient]:
    """Yield a client of the status page, which runs as a server of its own."""
    async with TestClient(
        TestServer(public_site(gateway.public_status, gateway.settings))
    ) as client:
        yield client


def nothing_happened(gateway: FakeGateway) -> bool:
    return not (gateway.broker.records or gateway.requests or gateway.queries)


def test_the_routes_are_found() -> None:
    assert ("POST", "/status") in CHANGES
    assert ("POST", f"/trigger_report/{STORE}") in CHANGES
    assert ("GET", "/fleet/events") in READS
    assert ("GET", "/public/status.json") in READS
    assert ("GET", "/status.json") in PUBLIC_ROUTES


@pytest.mark.parametrize(("method", "path"), API_ROUTES)
async def test_no_route_answers_to_a_name_that_is_not_ours(
    client: TestClient, gateway: FakeGateway, method: str, path: str
) -> None:
    for host in ("evil.example", "localhost.evil.example:8000"):
        response = await client.request(method, path, headers={"Host": host}, data=b"{}")
        assert response.status == HTTPStatus.MISDIRECTED_REQUEST
        assert response.headers["Content-Type"] == "application/problem+json"
        if method != "HEAD":
            detail = await problem_of(response, HTTPStatus.MISDIRECTED_REQUEST)
            assert f"'{host}'" in detail
            assert "STORE_UPTIME_API_NAMES" in detail
    assert nothing_happened(gateway)


@pytest.mark.parametrize(("method", "path"), [*PUBLIC_ROUTES, ("POST", "/"), ("GET", "/nope")])
async def test_the_status_page_on_its_own_port_answers_to_no_name_that_is_not_ours(
    site: TestClient, gateway: FakeGateway, method: str, path: str
) -> None:
    response = await site.request(method, path, headers={"Host": "evil.example"})
    assert response.status == HTTPStatus.MISDIRECTED_REQUEST
    response = await site.request(method, path, headers={"Host": "uptime.example.com"})
    assert response.status != HTTPStatus.MISDIRECTED_REQUEST
    assert not gateway.broker.records


@pytest.mark.parametrize("path", ["/nope", "/status", f"/trigger_report/{STORE}"])
async def test_an_unknown_path_or_method_answers_to_no_name_that_is_not_ours(
    client: TestClient, path: str
) -> None:
    for method in ("GET", "PROPFIND", "DELETE", "TRACE", "OPTIONS"):
        response = await client.request(method, path, headers={"Host": "evil.example"})
        assert response.status == HTTPStatus.MISDIRECTED_REQUEST


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": "http://127.0.0.1:{port}.evil.example"},
    {"Origin": "http://127.0.0.1:{port}/"},
    {"Origin": "file://"},
    {"Origin": "chrome-extension://127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "Same-Origin"},
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_no_other_page_changes_anything(
    client: TestClient, gateway: FakeGateway, method: str, path: str
) -> None:
    for templates in FOREIGN:
        headers = {name: text.format(port=client.port) for name, text in templates.items()}
        response = await client.request(method, path, headers=headers, data=b'{"status":"active"}')
        await problem_of(response, HTTPStatus.FORBIDDEN)
    assert nothing_happened(gateway)


async def test_a_page_that_sends_its_origin_twice_changes_nothing(
    client: TestClient, gateway: FakeGateway
) -> None:
    own = f"http://127.0.0.1:{client.port}"
    for headers in (
        [("Origin", own), ("Origin", "http://evil.example")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    ):
        response = await client.post("/trigger_report", headers=headers)
        # aiohttp itself refuses some headers that stand twice
        assert response.status in (HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST)
    assert nothing_happened(gateway)


@pytest.mark.parametrize(
    "templates",
    [
        {},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "uptime.example.com", "Origin": "https://uptime.example.com"},
        {"Host": "uptime.example.com:443", "Origin": "https://uptime.example.com"},
        {"Host": "UPTIME.example.com.", "Origin": "http://uptime.example.com:80"},
        {"Host": "proxy.example:8443", "Origin": "https://proxy.example:8443"},
        {"Host": "[2001:DB8:0::7]:9", "Origin": "http://[2001:db8::7]:9"},
    ],
    ids=str,
)
async def test_programs_and_our_own_page_may_request_a_report(
    client: TestClient, gateway: FakeGateway, templates: dict[str, str]
) -> None:
    headers = {name: text.format(port=client.port) for name, text in templates.items()}
    response = await client.post(f"/trigger_report/{STORE}", headers=headers)
    assert response.status == HTTPStatus.ACCEPTED
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(("method", "path"), READS)
async def test_a_request_that_reads_changes_nothing(
    client: TestClient, gateway: FakeGateway, method: str, path: str
) -> None:
    """GET is safe on every route: no picture or link of another page can change anything."""
    gateway.poll(STORE, 1_710_072_000_000_000, active=True)
    headers = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    async with client.request(method, path, headers=headers) as response:
        assert response.status != HTTPStatus.FORBIDDEN
        assert not gateway.broker.records
        assert not gateway.requests


# -- which hosts are ours


def include(listens_on: str, host: str, reached_at: str = "127.0.0.1", names: str = "") -> bool:
    named = parse_authority(host)
    return named is not None and OwnHosts(
        listens_on, SETTINGS.replace(api_names=names).api_names
    ).include(named, ip_of(reached_at))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST",
        "LocalHost.",
        "localhost:",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.9.9.9:8000",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
        "[::ffff:127.0.0.1]",
    ],
)
def test_localhost_is_ours_in_every_form(host: str) -> None:
    assert include("127.0.0.1", host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "localhost..",
        ".localhost",
        "localhost:80:80",
        "localhost:65536",
        "localhost:8000x",
        "localhost:-1",
        "localhost\t",
        "localhost,evil.example",
        "localhost/",
        "evil.example@localhost",
        "localhost@evil.example",
        "loc%61lhost",
        "\uff4cocalhost",
        "0.0.0.0",  # noqa: S104  a host as any other here
        "192.0.2.1",
        "2130706433",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.1",
        "127.0.0.1.evil.example",
        "::1",
        "[::1",
        "[127.0.0.1]",
        "[::ffff:192.0.2.1]",
        "[::]",
        "x" * 64,
        ".".join(["x" * 60] * 5),
        "x" * 9000,
    ],
)
def test_no_other_host_is_ours(host: str) -> None:
    assert not include("127.0.0.1", host)


def test_the_address_that_is_listened_on_is_ours_and_so_is_its_name() -> None:
    assert include("192.0.2.1", "192.0.2.1:8000", reached_at="10.0.0.1")
    assert include("[2001:db8::1]", "[2001:db8::1]:8000")
    assert include("2001:db8::1", "[2001:DB8::1]:8000")
    assert include("Shop.internal", "shop.INTERNAL:8000")
    assert not include("shop.internal", "shop2.internal")


def test_the_address_that_a_connection_came_to_is_ours() -> None:
    assert include("0.0.0.0", "192.0.2.9:8000", reached_at="192.0.2.9")  # noqa: S104
    assert include("::", "192.0.2.9", reached_at="::ffff:192.0.2.9")
    assert include("::", "[fe80::1]", reached_at="fe80::1%2")


def test_a_server_on_every_address_answers_to_all_addresses_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = {"192.0.2.9", "2001:db8::9"}
    monkeypatch.setattr(host_and_origin, "is_of_this_machine", lambda ip: str(ip) in ours)
    for listens_on in ("0.0.0.0", "::"):  # noqa: S104
        assert include(listens_on, "192.0.2.9")
        assert include(listens_on, "[2001:db8::9]:1")
        assert not include(listens_on, "192.0.2.10")
        assert include(listens_on, "localhost")
        assert not include(listens_on, "evil.example")
    assert not include("127.0.0.1", "192.0.2.9")
    assert include("0.0.0.0", "0.0.0.0:8000"), "as the log writes it"  # noqa: S104


def test_a_foreign_address_is_none_of_this_machine() -> None:
    loopback, elsewhere = ip_of("127.0.0.1"), ip_of("192.0.2.1")
    assert loopback is not None
    assert elsewhere is not None
    assert is_of_this_machine(loopback)
    assert not is_of_this_machine(elsewhere)


def test_names_of_the_setting_are_ours_with_and_without_a_port() -> None:
    names = "a.example,b.example:8443,192.0.2.7,[2001:db8::7]:80"
    for host in ("a.example", "A.EXAMPLE.:1", "b.example:8443", "192.0.2.7:9", "[2001:db8::7]:80"):
        assert include("127.0.0.1", host, names=names)
    for host in ("b.example", "b.example:8444", "x.a.example", "example", "[2001:db8::7]"):
        assert not include("127.0.0.1", host, names=names)


# -- requests as they are on the wire


async def answer_to(client: TestClient, head: str) -> tuple[int, dict[str, Any]]:
    """Send a request as it is on the wire, and return the status and the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    line = await reader.readline()
    headers = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(header.partition(b":")[2])
        for header in headers.splitlines()
        if header.lower().startswith(b"content-length")
    )
    body = await reader.readexactly(length)
    writer.close()
    content = orjson.loads(body) if b"json" in headers else {}
    return int(line.split()[1]), content


@pytest.mark.parametrize(
    "head",
    [
        "GET /fleet HTTP/1.0",
        "GET /fleet HTTP/1.0\nHost:",
        "GET /fleet HTTP/1.1\nHost:",
        "GET http://evil.example/fleet HTTP/1.1\nHost: localhost",
        "GET http://localhost/fleet HTTP/1.1\nHost: evil.example",
        "GET http://localhost:81/fleet HTTP/1.1\nHost: localhost",
        "GET http://localhost@evil.example/fleet HTTP/1.1\nHost: localhost",
        "GET http://evil.example@localhost/fleet HTTP/1.1\nHost: localhost",
        "GET http://evil.example?/fleet HTTP/1.1\nHost: localhost",
        "GET http://evil.example HTTP/1.1\nHost: localhost",
        "OPTIONS * HTTP/1.1\nHost: evil.example",
        "GET /fleet?http://localhost HTTP/1.1\nHost: evil.example",
        "GET //localhost/fleet HTTP/1.1\nHost: evil.example",
    ],
)
async def test_a_target_that_names_another_host_is_not_for_us(
    client: TestClient, head: str
) -> None:
    status, problem = await answer_to(client, head)
    assert status == HTTPStatus.MISDIRECTED_REQUEST
    assert "STORE_UPTIME_API_NAMES" in problem["detail"]


@pytest.mark.parametrize(
    "head",
    [
        "GET /fleet HTTP/1.1",
        "GET /fleet HTTP/1.1\nHost: localhost\nHost: localhost",
        "GET /fleet HTTP/1.1\nHost: localhost\nHost: evil.example",
    ],
)
async def test_a_request_without_a_host_or_with_two_is_malformed(
    client: TestClient, head: str
) -> None:
    status, _ = await answer_to(client, head)
    assert status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "head",
    [
        "GET http://localhost/healthz HTTP/1.1\nHost: localhost",
        "GET HTTP://LOCALHOST:80/healthz HTTP/1.1\nHost: localhost",
        "GET /healthz HTTP/1.0\nHost: localhost",
        "GET /healthz HTTP/1.1\nHost:  127.0.0.1 ",
    ],
)
async def test_a_target_that_is_a_url_of_ours_is_answered(client: TestClient, head: str) -> None:
    status, body = await answer_to(client, head)
    assert (status, body) == (HTTPStatus.OK, {"status": "ok"})


async def test_a_page_of_another_port_of_this_machine_is_another_origin(
    client: TestClient, gateway: FakeGateway
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        headers = {"Origin": f"http://127.0.0.1:{other.getsockname()[1]}"}
    response = await client.post("/trigger_report", headers=headers)
    detail = await problem_of(response, HTTPStatus.FORBIDDEN)
    assert "a proxy must pass Host on" in detail
    assert nothing_happened(gateway)


async def test_an_unknown_store_reveals_nothing_to_a_rebound_name(client: TestClient) -> None:
    for store in (STORE, UNKNOWN, "7"):
        response = await client.get(f"/stores/{store}", headers={"Host": "rebound.example"})
        assert response.status == HTTPStatus.MISDIRECTED_REQUEST
