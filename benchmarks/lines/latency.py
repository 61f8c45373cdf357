"""Measures reports of one store over HTTP, on an idle system, from request to last answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import orjson

from benchmarks.errors import BenchmarkError
from benchmarks.http import ACCEPTED, KeepAlive, request
from benchmarks.inputs import store_ids
from benchmarks.line import Figure, Line
from benchmarks.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Bench

REPORTS: Final = 300
WARM_UP: Final = 20
_POLL_SECONDS: Final = 0.001
_LIMIT: Final = 120.0


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure one report after the other, each of another store."""
    product = await bench.loaded_deployment()
    bench.say(f"{REPORTS} reports of one store each")
    connection = await KeepAlive.connect(product.settings.api_host, product.settings.api_port)
    try:
        seconds = await product.while_running(_reports(connection), _LIMIT, "reports complete")
    finally:
        connection.close()
    milliseconds = [1000 * each for each in seconds[WARM_UP:]]
    return {
        "p50": quantile(milliseconds, 0.5),
        "p99": quantile(milliseconds, 0.99),
        "longest": max(milliseconds),
    }


async def _reports(connection: KeepAlive) -> list[float]:
    return [await report(connection, each) for each in store_ids(REPORTS + WARM_UP)]


async def report(connection: KeepAlive, store_id: str) -> float:
    """Return the seconds until one report is complete.

    Raises:
        BenchmarkError: it was refused, or failed.
    """
    begin = time.perf_counter()
    status, body = await connection.ask(request("POST", f"/trigger_report/{store_id}"))
    if status != ACCEPTED:
        raise BenchmarkError(f"POST /trigger_report/{store_id}: {status} {body[:100]!r}")
    ask = request("GET", f"/get_report/{orjson.loads(body)['report_id']}")
    while (answer := await connection.ask(ask))[0] == ACCEPTED:  # noqa: ASYNC110  over HTTP
        await asyncio.sleep(_POLL_SECONDS)
    if answer[0] != 200 or store_id.encode() not in answer[1]:
        raise BenchmarkError(f"the report of {store_id}: {answer[0]} {answer[1][:100]!r}")
    return time.perf_counter() - begin


LINE: Final = Line(
    name="latency",
    title="trigger to complete, one store, idle, over HTTP",
    figures=(
        Figure("p50", "half of the reports within", "ms", target_max=4),
        Figure("p99", "99 of 100 within", "ms", target_max=10),
        Figure("longest", "the longest", "ms"),
    ),
    measure=measure,
    shares_state=True,
)
