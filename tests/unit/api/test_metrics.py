"""The API counts its requests and polls, and Prometheus can read its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import UNMATCHED, ApiMetrics, ApiSources
from api.request_metrics import counted
from tests.http_client import TestClient
from tests.unit.api.answers import STORE

if TYPE_CHECKING:
    from tests.fakes import FakeGateway


async def scrape(
    client: TestClient,
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(await response.text())
        for sample in family.samples
    }


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


REQUESTS = "store_uptime_http_requests_total"
LATENCY = "store_uptime_http_request_duration_seconds"
POLLS = "store_uptime_http_polls_total"
DEAD_LETTERS = "store_uptime_dead_letters_total"


async def test_requests_count_by_the_template_of_their_route_and_never_by_a_store(
    client: TestClient,
) -> None:
    await client.post(f"/stores/{STORE}/status", json={"status": "active"})
    await client.post("/stores/not-a-uuid/status", json={"status": "active"})
    samples = await scrape(client)
    route = "/stores/{store_id}/status"
    assert samples[REQUESTS, labels(route=route, method="POST", status="202")] == 1
    assert samples[REQUESTS, labels(route=route, method="POST", status="422")] == 1
    assert samples[f"{LATENCY}_count", labels(route=route, method="POST")] == 2
    assert samples[f"{LATENCY}_bucket", labels(route=route, method="POST", le="+Inf")] == 2
    assert samples[f"{LATENCY}_sum", labels(route=route, method="POST")] > 0
    assert not any(STORE in str(key) for key in samples)


async def test_unknown_paths_and_unknown_methods_share_one_label(
    client: TestClient,
) -> None:
    for path in ("/a", "/b", "/c"):
        await client.get(path)
    await client.request("PROPFIND", "/healthz")
    samples = await scrape(client)
    assert samples[REQUESTS, labels(route=UNMATCHED, method="GET", status="404")] == 3
    assert samples[REQUESTS, labels(route=UNMATCHED, method="other", status="405")] == 1


async def test_a_request_for_the_status_page_counts_by_its_template(
    client: TestClient,
) -> None:
    await client.get("/public/assets/nothing.js")
    samples = await scrape(client)
    route = "/public/assets/{name}"
    assert samples[REQUESTS, labels(route=route, method="GET", status="404")] == 1


async def test_polls_count_as_accepted_or_refused(client: TestClient) -> None:
    await client.post(f"/stores/{STORE}/status", json={"status": "active"})
    await client.post(f"/stores/{STORE}/status", json={"status": "perhaps"})
    good = {"store_id": STORE, "status": "active"}
    await client.post("/status", json=[good, good, {**good, "status": "perhaps"}])
    samples = await scrape(client)
    assert samples[POLLS, labels(outcome="accepted")] == 3
    assert samples[POLLS, labels(outcome="refused")] == 2
    assert samples[DEAD_LETTERS, labels(source="http", reason="invalid")] == 2


async def test_a_poll_that_only_the_brokers_clock_refuses_counts_as_refused(
    client: TestClient, gateway: FakeGateway
) -> None:
    gateway.broker.ahead = -3600 * 1_000_000
    response = await client.post(f"/stores/{STORE}/status", json={"status": "active"})
    assert response.status == 422
    await client.post("/status", json=[{"store_id": STORE, "status": "active"}])
    samples = await scrape(client)
    assert samples[POLLS, labels(outcome="accepted")] == 0
    assert samples[POLLS, labels(outcome="refused")] == 2


async def test_an_event_stream_is_shown_while_it_is_open(client: TestClient) -> None:
    assert (await scrape(client))["store_uptime_open_event_streams", ()] == 0
    async with client.get("/fleet/events"):
        assert (await scrape(client))["store_uptime_open_event_streams", ()] == 1


async def test_an_event_stream_has_no_latency() -> None:
    metrics = ApiMetrics()

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        await response.prepare(request)
        return response

    app = web.Application(middlewares=[counted(metrics)])
    app.router.add_get("/events", events)
    async with TestClient(TestServer(app)) as client:
        await client.get("/events")
    route_labels = {"route": "/events", "method": "GET"}
    assert metrics.registry.get_sample_value(REQUESTS, {**route_labels, "status": "200"}) == 1
    assert metrics.registry.get_sample_value(f"{LATENCY}_count", route_labels) is None


async def test_gauges_are_read_from_the_gateway(client: TestClient, gateway: FakeGateway) -> None:
    gateway.metrics.read_from(
        ApiSources(lambda: True, lambda: 2, lambda: 300, lambda: 4, lambda: 5, lambda: 6, lambda: 7)
    )
    samples = await scrape(client)
    assert samples["store_uptime_kafka_connected", ()] == 1
    assert samples["store_uptime_unowned_partitions", ()] == 2
    assert samples["store_uptime_http_unacknowledged_bytes", ()] == 300
    assert samples["store_uptime_open_reports", ()] == 4
    assert samples["store_uptime_waiting_webhooks", ()] == 5
    assert samples["store_uptime_deferred_webhooks", ()] == 6
    assert samples["store_uptime_crowded_webhook_hosts", ()] == 7


async def test_an_answer_that_is_an_exception_counts_too() -> None:
    metrics = ApiMetrics()

    async def moved(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    app = web.Application(middlewares=[counted(metrics)])
    app.router.add_get("/moved", moved)
    async with TestClient(TestServer(app)) as client:
        await client.get("/moved", allow_redirects=False)
    value = metrics.registry.get_sample_value(
        REQUESTS, {"route": "/moved", "method": "GET", "status": "302"}
    )
    assert value == 1
