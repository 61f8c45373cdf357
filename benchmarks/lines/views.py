"""Measures the requests of the web page: the fleet, and the page of one store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks.errors import BenchmarkError
from benchmarks.http import KeepAlive, request
from benchmarks.inputs import store_ids
from benchmarks.line import Figure, Line
from benchmarks.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.bench import Bench

REQUESTS: Final = 300
WARM_UP: Final = 20
_LIMIT: Final = 120.0

_FLEET: Final = ("/fleet", "/fleet?state=down", "/fleet?sort=last_poll&page=9", "/fleet?q=abc")
_STORE: Final = ("summary", "timeline", "incidents")


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure one request after the other, each of another page or store."""
    product = await bench.loaded_deployment()
    bench.say(f"{REQUESTS} pages of the fleet, and {REQUESTS} views of stores")
    connection = await KeepAlive.connect(product.settings.api_host, product.settings.api_port)
    fleet = [_FLEET[number % len(_FLEET)] for number in range(REQUESTS + WARM_UP)]
    stores = [
        f"/stores/{store_id}/{_STORE[number % len(_STORE)]}"
        for number, store_id in enumerate(store_ids(REQUESTS + WARM_UP))
    ]
    figures = {}
    try:
        for name, paths in (("fleet", fleet), ("store", stores)):
            seconds = await product.while_running(
                times(connection, paths), _LIMIT, f"views of the {name}"
            )
            milliseconds = [1000 * each for each in seconds[WARM_UP:]]
            figures[f"{name}_p50"] = quantile(milliseconds, 0.5)
            figures[f"{name}_p99"] = quantile(milliseconds, 0.99)
    finally:
        connection.close()
    return figures


async def times(connection: KeepAlive, paths: Iterable[str]) -> list[float]:
    """Return the seconds that each answer took.

    Raises:
        BenchmarkError: an answer is not 200.
    """
    seconds = []
    for path in paths:
        begin = time.perf_counter()
        status, body = await connection.ask(request("GET", path))
        if status != 200:
            raise BenchmarkError(f"GET {path}: {status} {body[:100]!r}")
        seconds.append(time.perf_counter() - begin)
    return seconds


LINE: Final = Line(
    name="views",
    title="what the web page asks for, 4,559 stores, idle, over HTTP",
    figures=(
        Figure("fleet_p50", "half of the pages of the fleet within", "ms", target_max=20),
        Figure("fleet_p99", "99 of 100 within", "ms", target_max=60),
        Figure("store_p50", "half of a store's views within", "ms", target_max=20),
        Figure("store_p99", "99 of 100 within", "ms", target_max=60),
    ),
    measure=measure,
    shares_state=True,
)
