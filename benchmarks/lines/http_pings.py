"""Measures live pings over HTTP to one API process while a worker applies them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.bare_posts import bare_server
from benchmarks.bench import VISIBLE_SECONDS
from benchmarks.errors import BenchmarkError
from benchmarks.http import load
from benchmarks.inputs import STORES, store_ids
from benchmarks.line import Figure, Line
from benchmarks.pings import BATCH, batches_of_one_store, mixed_batches, single_posts
from benchmarks.processes import CpuMeter
from benchmarks.quantiles import quantile
from benchmarks.rotation import rotated
from benchmarks.watermarks import Watermarks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.bench import Bench

SECONDS: Final = 6.0
WARM_UP_SECONDS: Final = 1.0
SINGLE_CONNECTIONS: Final = 64
BATCH_CONNECTIONS: Final = 16

BARE: Final = ("single_mixed", "batch_mixed")
"""The shapes of load that are also sent to bare aiohttp."""

_MINUTES: Final = 300_000
"""Minutes of polls that are prepared: more than any run sends, less than the retention."""


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure the product and bare aiohttp under the same loads, first one, then the other.

    Every second run begins with bare aiohttp.
    """
    figures: dict[str, float] = {}
    for part in rotated([_product, _bare], bench.run):
        figures |= await part(bench)
    for name in BARE:
        figures[f"{name}_to_bare"] = figures[name] / figures[f"{name}_bare"]
    return figures


def _loads() -> Iterator[tuple[str, Iterator[bytes], int, int]]:
    """Yield the name, requests, connections, and polls per request of each shape of load."""
    stores = store_ids(STORES)
    yield "single_mixed", single_posts(stores, _MINUTES), SINGLE_CONNECTIONS, 1
    yield "single_one", single_posts(stores[:1], _MINUTES), SINGLE_CONNECTIONS, 1
    yield "batch_mixed", mixed_batches(stores, _MINUTES), BATCH_CONNECTIONS, BATCH
    yield "batch_one", batches_of_one_store(stores, 1000), BATCH_CONNECTIONS, BATCH


async def _product(bench: Bench) -> dict[str, float]:
    """Measure each shape of load for some seconds, one after the other."""
    figures: dict[str, float] = {}
    async with bench.deployment() as product, Watermarks(product.settings) as watermarks:
        where = (product.settings.api_host, product.settings.api_port)
        for name, requests, connections, polls in _loads():
            bench.say(f"{name.replace('_', ' ')}: {SECONDS:g} s over {connections} connections")
            await load(*where, requests, connections=connections, seconds=WARM_UP_SECONDS)
            cpu = CpuMeter(product.pids())
            result = await product.while_running(
                load(*where, requests, connections=connections, seconds=SECONDS),
                10 * SECONDS,
                "the load to end",
            )
            if not result.accepted:
                raise BenchmarkError(f"no post of {name} was accepted: {result.refused!r}")
            figures[name] = polls * result.accepted / result.seconds
            figures[f"{name}_p99"] = 1000 * quantile(result.latencies, 0.99)
            figures[f"{name}_refused"] = result.statuses.total() - result.accepted
            for process, seconds in cpu.figures().items():
                figures[f"{name}_{process}"] = seconds / result.seconds
            # the next shape begins without a backlog
            await product.while_running(
                watermarks.caught_up(), VISIBLE_SECONDS, "all pings visible"
            )
    return figures


async def _bare(bench: Bench) -> dict[str, float]:
    """Measure the same loads on a server that only parses and acknowledges."""
    figures: dict[str, float] = {}
    async with bare_server(bench.workspace / "logs") as where:
        for name, requests, connections, polls in _loads():
            if name not in BARE:
                continue
            bench.say(f"bare aiohttp, {name.replace('_', ' ')}: {SECONDS:g} s")
            await load(*where, requests, connections=connections, seconds=WARM_UP_SECONDS)
            result = await load(*where, requests, connections=connections, seconds=SECONDS)
            if not result.accepted or result.accepted != result.statuses.total():
                raise BenchmarkError(f"bare aiohttp refused posts of {name}: {result.refused!r}")
            figures[f"{name}_bare"] = polls * result.accepted / result.seconds
    return figures


_SHAPES: Final = (
    ("single_mixed", "single-ping posts, many stores", "posts/s", 9_000),
    ("single_one", "single-ping posts, one store", "posts/s", 9_000),
    ("batch_mixed", "batches of 100, a poll of each of 100 stores", "polls/s", 250_000),
    ("batch_one", "batches of 100, each of one store", "polls/s", 250_000),
)


def _figures() -> Iterator[Figure]:
    for name, title, unit, least in _SHAPES:
        yield Figure(name, title, unit, target_min=least)
        yield Figure(f"{name}_p99", "- acknowledged within, 99 of 100", "ms")
        yield Figure(f"{name}_refused", "- answered 429 or 503", "posts")
        for process in ("api", "worker", "broker", "load"):
            yield Figure(f"{name}_cpu_{process}", f"- CPU of the {process}", "cores")
        if name in BARE:
            yield Figure(f"{name}_bare", "- bare aiohttp: parsed and answered 202", unit)
            yield Figure(f"{name}_to_bare", "- ours to bare aiohttp", "times")


LINE: Final = Line(
    name="http-pings",
    title="live pings over HTTP, one API process",
    figures=tuple(_figures()),
    measure=measure,
)
