"""The metrics of an API process for `GET /metrics`: names, labels and meanings, once.

Requests are counted in plain dictionaries, which costs a microsecond each. Values that can be read
at any time are read when Prometheus asks for them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import generate_latest

from stream_app.metrics import DeadLetterCounter, EventLoopDelay, new_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

UNMATCHED: Final = "unmatched"
"""The label of requests whose path no route has: there is no limit to such paths."""

OTHER_METHOD: Final = "other"

BUCKET_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper ends of the latency histogram's buckets."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class ApiSources:
    """Functions that are called when `GET /metrics` is, and cost nothing until then.

    Attributes:
        connected: returns whether this process is connected to Kafka.
        unowned_partitions: returns the number of partitions that no worker owns.
        unacknowledged_bytes: returns the bytes of records that are in flight.
        open_reports: returns the number of reports that are pending or running.
        waiting_webhooks: returns the number of webhooks that this process tries to deliver.
        deferred_webhooks: returns the number of webhooks that wait in Kafka for their receiver.
        crowded_webhook_hosts: returns the number of receivers that have deferred webhooks.
    """

    connected: Callable[[], bool]
    unowned_partitions: Callable[[], int]
    unacknowledged_bytes: Callable[[], int]
    open_reports: Callable[[], int]
    waiting_webhooks: Callable[[], int]
    deferred_webhooks: Callable[[], int]
    crowded_webhook_hosts: Callable[[], int]


@dataclass(slots=True)
class PollCounts:
    """Polls that came by HTTP.

    Attributes:
        accepted: the number of polls that the broker has acknowledged.
        refused: the number of rejected polls.
    """

    accepted: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Latencies:
    """The latencies of one route's answers, by bucket."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKET_SECONDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKET_SECONDS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        ends = [*map(str, BUCKET_SECONDS), "+Inf"]
        return [(end, float(n)) for end, n in zip(ends, accumulate(self.counts), strict=True)]


class ApiMetrics:
    """The metrics of one API process.

    Attributes:
        polls: polls that came by HTTP.
        dead_letters: counts the dead letters that this process writes.
        missing_dead_letters: how many rejected bodies have no dead letter, since too many came.
        event_loop_delay: measures how late the event loop is.
    """

    def __init__(self) -> None:
        self.registry = registry = new_registry()
        self.polls = PollCounts()
        self.dead_letters = DeadLetterCounter(registry)
        self.missing_dead_letters = 0
        self.event_loop_delay = EventLoopDelay(registry)
        self._requests: dict[tuple[str, str, int], int] = {}
        self._latencies: dict[tuple[str, str], _Latencies] = {}
        self._open_streams: Callable[[], int] | None = None
        self._sources: ApiSources | None = None
        registry.register(_ApiCollector(self))

    def read_from(self, sources: ApiSources) -> None:
        """Read the gauges from these sources from now on."""
        self._sources = sources

    def read_open_streams(self, open_streams: Callable[[], int]) -> None:
        """Read the number of open event streams there from now on."""
        self._open_streams = open_streams

    def count_request(
        self, method: str, route: str | None, status: int, seconds: float | None
    ) -> None:
        """Count a request.

        Args:
            method: any method, also one that does not exist.
            route: the path of the route, with its variables; None if no route has the path.
            status: the status of its answer.
            seconds: how long the answer took; None for a stream, which lasts as long as
                somebody listens.
        """
        if route is None:
            route = UNMATCHED
        if method not in _METHODS:
            method = OTHER_METHOD
        key = (route, method, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        if seconds is not None:
            latencies = self._latencies.get((route, method))
            if latencies is None:
                latencies = self._latencies[route, method] = _Latencies()
            latencies.add(seconds)

    def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _collect(self) -> Iterator[Metric]:
        yield from self._collect_requests()
        polls = CounterMetricFamily(
            "store_uptime_http_polls",
            "Polls that came by HTTP: acknowledged by the broker, or rejected with a reason.",
            labels=["outcome"],
        )
        polls.add_metric(["accepted"], self.polls.accepted)
        polls.add_metric(["refused"], self.polls.refused)
        yield polls
        yield CounterMetricFamily(
            "store_uptime_dead_letters_not_kept",
            "Rejected bodies that are no dead letters, since too many were rejected at once.",
            value=self.missing_dead_letters,
        )
        if self._open_streams is not None:
            yield GaugeMetricFamily(
                "store_uptime_open_event_streams",
                "Event streams that somebody listens to.",
                value=self._open_streams(),
            )
        if self._sources is not None:
            yield from _read(self._sources)

    def _collect_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "store_uptime_http_requests",
            "HTTP requests that were answered, by route, method and status.",
            labels=["route", "method", "status"],
        )
        for (route, method, status), count in sorted(self._requests.items()):
            requests.add_metric([route, method, str(status)], count)
        yield requests
        latencies = HistogramMetricFamily(
            "store_uptime_http_request_duration_seconds",
            "Time from the head of a request to its answer, by route and method; without event "
            "streams.",
            labels=["route", "method"],
        )
        for (route, method), latency in sorted(self._latencies.items()):
            latencies.add_metric([route, method], latency.cumulative(), latency.total)
        yield latencies


class _ApiCollector:
    """Reads the gauges when the registry is asked for them."""

    def __init__(self, metrics: ApiMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics._collect()  # noqa: SLF001  of this module


def _read(sources: ApiSources) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "store_uptime_kafka_connected",
        "1 while this process is connected to Kafka and has read what the topics say, else 0.",
        value=int(sources.connected()),
    )
    yield GaugeMetricFamily(
        "store_uptime_unowned_partitions",
        "Partitions that no worker of the group has spoken for lately, as this process sees it.",
        value=sources.unowned_partitions(),
    )
    yield GaugeMetricFamily(
        "store_uptime_http_unacknowledged_bytes",
        "What has been accepted by HTTP and is not acknowledged by the broker yet, in bytes of "
        "the budget that bounds it.",
        value=sources.unacknowledged_bytes(),
    )
    yield GaugeMetricFamily(
        "store_uptime_open_reports",
        "Reports that are pending or running, as this process sees it.",
        value=sources.open_reports(),
    )
    yield GaugeMetricFamily(
        "store_uptime_waiting_webhooks",
        "Webhooks that this process waits for or tries to deliver.",
        value=sources.waiting_webhooks(),
    )
    yield GaugeMetricFamily(
        "store_uptime_deferred_webhooks",
        "Webhooks that stay in Kafka until others to the same host and port are delivered or given "
        "up: it has its share of those that are tried.",
        value=sources.deferred_webhooks(),
    )
    yield GaugeMetricFamily(
        "store_uptime_crowded_webhook_hosts",
        "Hosts and ports with webhooks that stay in Kafka: each is down, slow, or gets very many.",
        value=sources.crowded_webhook_hosts(),
    )
