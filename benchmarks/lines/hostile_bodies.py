"""Measures the latency of other requests while bodies that keep the API busy are sent."""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import TYPE_CHECKING, Final

from benchmarks.errors import BenchmarkError
from benchmarks.http import KeepAlive, request
from benchmarks.line import Figure, Line
from benchmarks.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Bench

CONCURRENT_BODIES: Final = 4
"""Bodies of one kind that are sent at the same time, each over its own connection."""

_MIN_REQUESTS: Final = 300
_LIMIT: Final = 120.0
_EXPECTED: Final = frozenset({202, 413, 422})
_GZIP: Final = b"Content-Encoding: gzip\r\n"

_BODIES: Final[Mapping[str, tuple[bytes, bytes]]] = {
    "packed": (_GZIP, gzip.compress(b"{}\n" + b"\n" * (63 << 20))),
    "blank": (b"", b"{}\n" + b"\n" * (63 << 20)),
    "array": (b"", b"[" + b"[]," * 2_700_000 + b"[]]"),
}
"""The bodies by name, each with its header."""


async def measure(bench: Bench) -> Mapping[str, float]:
    """Send each kind of body, and measure `GET /healthz` until all are answered."""
    figures = {}
    async with bench.deployment() as product:
        where = (product.settings.api_host, product.settings.api_port)
        for name, (header, body) in _BODIES.items():
            bench.say(f"{CONCURRENT_BODIES} bodies at once: {name}")
            seconds = await product.while_running(
                _health_check_seconds(where, request("POST", "/status", body), header), _LIMIT, name
            )
            figures[f"{name}_p99"] = 1000 * quantile(seconds, 0.99)
    return figures


async def _health_check_seconds(where: tuple[str, int], data: bytes, header: bytes) -> list[float]:
    line, _, rest = data.partition(b"\r\n")
    posts = asyncio.gather(
        *(_post(where, line + b"\r\n" + header + rest) for _ in range(CONCURRENT_BODIES))
    )
    connection = await KeepAlive.connect(*where)
    seconds: list[float] = []
    try:
        while not posts.done() or len(seconds) < _MIN_REQUESTS:
            begin = time.perf_counter()
            await connection.ask(request("GET", "/healthz"))
            seconds.append(time.perf_counter() - begin)
            await asyncio.sleep(0.001)
        await posts
    finally:
        connection.close()
    return seconds


async def _post(where: tuple[str, int], data: bytes) -> None:
    """Send a body, and read the answer, which may come before all of it is sent."""
    reader, writer = await asyncio.open_connection(*where)
    try:
        writer.write(data)
        status = int((await reader.readline())[9:12])
        if status not in _EXPECTED:
            raise BenchmarkError(f"a hostile body is answered {status}")
    finally:
        writer.close()


LINE: Final = Line(
    name="hostile-bodies",
    title=f"GET /healthz while {CONCURRENT_BODIES} bodies are sent "
    "that are made to keep the API busy",
    figures=(
        Figure(
            "packed_p99",
            "64 MB of blank lines in 64 kB of gzip: 99 of 100 within",
            "ms",
            target_max=50,
        ),
        Figure("blank_p99", "64 MB of blank lines: 99 of 100 within", "ms", target_max=50),
        Figure("array_p99", "8 MB of empty lists: 99 of 100 within", "ms", target_max=50),
    ),
    measure=measure,
)
