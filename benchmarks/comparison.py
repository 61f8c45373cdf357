"""Compares our worker with other systems that do its work, one after the other on one topic.

A peer is a module that is run as

    python -m benchmarks.peers.NAME --bootstrap HOST:PORT --shape bulk|live --records N --json OUT

It reads the first N records of `store-status`, ends with 0, and writes an object to OUT: `seconds`
until the last poll is in durable state, `cpu` seconds if it knows them, and other figures. A peer
that cannot run writes only `not_run`, a line that says what to install.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench import VISIBLE_SECONDS
from benchmarks.deployment import clean_environment
from benchmarks.errors import BenchmarkError, NotRunError
from benchmarks.inputs import ROOT, STORES, store_ids
from benchmarks.line import Figure, Line
from benchmarks.pings import poll_records, produce_backlog
from benchmarks.processes import cpu_seconds, resident_megabytes, written_bytes
from benchmarks.results import Spread, read_result
from benchmarks.rotation import rotated
from benchmarks.tables import markdown_table, number
from benchmarks.watermarks import Watermarks
from stream_app.contracts.topics import FACTS_TABLE, STORE_STATUS, changelog
from stream_app.local.processes.child import ChildProcess
from stream_app.local.processes.environment import environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.deployment import Deployment
    from benchmarks.results import Result


@dataclass(frozen=True, slots=True)
class Peer:
    """One other system.

    Attributes:
        title: its name in the table.
        package: its package in `benchmarks.peers`.
        options: additional arguments of its command.
    """

    title: str
    package: str
    options: tuple[str, ...] = ()


OURS: Final = "ours"
PEERS: Final = {
    "floor": Peer("bare aiokafka consumer with orjson, no state", "floor"),
    "quix": Peer("Quix Streams", "quix"),
    "kafka_streams": Peer("Kafka Streams", "kafka_streams"),
    "kafka_streams_exactly_once": Peer(
        "Kafka Streams, exactly once", "kafka_streams", ("--exactly-once",)
    ),
    "flink": Peer("Apache Flink", "flink"),
    "pathway": Peer("Pathway", "pathway"),
    "postgres": Peer("rows into PostgreSQL", "postgres"),
}
WAYS: Final = {
    OURS: "store-uptime, one worker",
    **{name: peer.title for name, peer in PEERS.items()},
}
MILLION: Final = 1_000_000
SHAPES: Final = {
    "bulk": "1.9 M polls, up to 512 a record",
    "live": "300,000 polls, one a record",
}
LIVE_MINUTES: Final = 66

_PEER_SECONDS: Final = 600.0
_STANDSTILL_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.01
_HEADER: Final = (
    *("way", "seconds", "minimum", "maximum", "polls/s", "times ours"),
    *("CPU s/M polls", "written, bytes/poll", "memory, MB"),
)


@dataclass(frozen=True, slots=True)
class TopicContent:
    """The numbers of records and polls in `store-status`."""

    records: int
    polls: int


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure every system on the bulk topic, then on the live one; the order differs each run."""
    figures: dict[str, float] = {}
    for shape in SHAPES:
        async with bench.deployment(worker=False, api=False) as product:
            filled = await _fill(bench, product, shape)
            figures[f"{shape}_polls"] = filled.polls
            for way in rotated(list(WAYS), bench.run):
                bench.say(f"{shape}: {WAYS[way]}")
                broker = BrokerUsage(product.pids("broker")["broker"])
                try:
                    if way == OURS:
                        measured = await _ours(product)
                    else:
                        measured = await run_peer(bench, product, way, shape, filled)
                    measured |= per_poll(measured, broker.figures(), filled.polls)
                except NotRunError as error:
                    bench.add_note(f"{WAYS[way]}, {shape}: not run: {error}")
                    continue
                except BenchmarkError as error:
                    # the failure of one system does not end the others
                    bench.add_problem(f"{WAYS[way]}, {shape}: {error}")
                    continue
                figures |= {f"{shape}_{way}_{name}": value for name, value in measured.items()}
        figures |= dict(ratios(shape, figures))
    return figures


class BrokerUsage:
    """Counts the broker's CPU seconds and written bytes since its creation, for one system."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu, self._written = cpu_seconds(pid), written_bytes(pid)

    def figures(self) -> dict[str, float]:
        """Return `broker_cpu` and `broker_written_bytes`."""
        return {
            "broker_cpu": cpu_seconds(self._pid) - self._cpu,
            "broker_written_bytes": written_bytes(self._pid) - self._written,
        }


def per_poll(
    measured: Mapping[str, float], broker: Mapping[str, float], polls: int
) -> dict[str, float]:
    """Return the costs of a poll; bytes that the broker wrote for a system count as its own."""
    costs = dict(broker)
    if "cpu" in measured:
        costs["cpu_per_million"] = measured["cpu"] / polls * MILLION
    if "written_bytes" in measured:
        written = measured["written_bytes"] + broker["broker_written_bytes"]
        costs["written_per_poll"] = written / polls
    return costs


MIN_RATIOS: Final = {
    "bulk_quix_ratio": 2.5,
    "bulk_kafka_streams_ratio": 2.5,
    "live_kafka_streams_ratio": 1.5,
    "live_kafka_streams_cpu_ratio": 4.0,
}
"""The targets: the time or the CPU of a peer, divided by ours, is at least this."""

MIN_RATES: Final = {"bulk": 3_000_000, "live": 200_000}
"""The targets: polls a second of our worker are at least this."""


def ratios(shape: str, figures: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield our rate, and the time and the CPU of each measured peer, divided by ours."""
    ours = figures.get(f"{shape}_{OURS}_seconds")
    polls = figures.get(f"{shape}_polls")
    if ours and polls:
        yield f"{shape}_{OURS}_rate", polls / ours
    for peer in PEERS:
        for quantity, ratio in (("seconds", "ratio"), ("cpu", "cpu_ratio")):
            measured = figures.get(f"{shape}_{OURS}_{quantity}")
            theirs = figures.get(f"{shape}_{peer}_{quantity}")
            if measured and theirs:
                yield f"{shape}_{peer}_{ratio}", theirs / measured


async def _fill(bench: Bench, product: Deployment, shape: str) -> TopicContent:
    async with Watermarks(product.settings) as watermarks:
        if shape == "bulk":
            inputs = bench.inputs()
            bench.say(f"filling the topic with {inputs.polls:,} polls")
            await product.run("replay", "--status", str(inputs.status))
            polls = inputs.polls
        else:
            records = poll_records(store_ids(STORES), LIVE_MINUTES)
            polls = await produce_backlog(product.settings, records)
        ends = await watermarks.end_offsets()
    return TopicContent(
        sum(offset for (topic, _), offset in ends.items() if topic == STORE_STATUS.name), polls
    )


async def _ours(product: Deployment) -> dict[str, float]:
    """Measure from the worker's first owned partition to the last poll in its changelog."""
    async with Watermarks(product.settings) as watermarks:
        await product.worker.start()
        visible = await product.while_running(
            watermarks.caught_up(), VISIBLE_SECONDS, "all polls visible"
        )
        durable = await product.while_running(
            _wait_for_standstill(watermarks), VISIBLE_SECONDS, "the changelog complete"
        )
        pid = product.pids()["worker"]
        usage = {
            "cpu": cpu_seconds(pid),
            "peak_megabytes": resident_megabytes(pid)[1],
            "written_bytes": written_bytes(pid),
        }
        await product.worker.stop()
    return {"seconds": max(visible, durable) - watermarks.advances[0].at, **usage}


async def _wait_for_standstill(watermarks: Watermarks) -> float:
    """Wait until the changelog grows no more; return the time of its last growth.

    Its last records come a little after all polls are visible.
    """
    spec = changelog(FACTS_TABLE)
    end_offsets = await watermarks.end_offsets(spec)
    grew = time.perf_counter()
    while (now := time.perf_counter()) - grew < _STANDSTILL_SECONDS:
        current = await watermarks.end_offsets(spec)
        if current != end_offsets:
            end_offsets, grew = current, now
        await asyncio.sleep(_POLL_SECONDS)
    return grew


async def run_peer(
    bench: Bench, product: Deployment, name: str, shape: str, filled: TopicContent
) -> dict[str, float]:
    """Run a peer to its end.

    Raises:
        NotRunError: a program that it needs is not installed.
        BenchmarkError: it failed, or its folder is missing.
    """
    peer = PEERS[name]
    if not (ROOT / "benchmarks" / "peers" / peer.package).is_dir():
        raise BenchmarkError(f"benchmarks/peers/{peer.package} is missing")
    output = bench.workspace / f"peer-{name}-{shape}-{bench.run}.json"
    child = ChildProcess(
        f"peer-{name}-{shape}-{bench.run}",
        [
            *(sys.executable, "-P", "-m", f"benchmarks.peers.{peer.package}", *peer.options),
            *("--bootstrap", product.settings.kafka_bootstrap, "--shape", shape),
            *("--records", str(filled.records), "--json", str(output)),
        ],
        log_dir=bench.workspace / "logs",
        # how to log in to the broker is in the product's settings
        environment={
            **environment_of(product.settings, clean_environment()),
            "PYTHONPATH": str(ROOT),
        },
    )
    try:
        async with asyncio.timeout(_PEER_SECONDS):
            await child.start()
            code = await child.wait()
    except TimeoutError:
        raise BenchmarkError(f"{name} still runs after {_PEER_SECONDS:g} s") from None
    finally:
        await child.stop()
    content = _content(output)
    if "not_run" in content:
        raise NotRunError(str(content["not_run"]))
    if code or "seconds" not in content:
        raise BenchmarkError(f"{name} ended with {code}: {child.last_error_line()}")
    return {
        key: float(value)
        for key, value in content.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _content(output: Path) -> dict[str, Any]:
    if not output.exists():
        return {}
    content: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return content


def ratios_section(folder: Path) -> str:
    """Return a table for each shape, with the time of every system and its ratio to ours."""
    result = read_result(LINE.name, folder)
    if result is None:
        return "Not measured yet.\n"
    tables = [
        f"{title}:\n\n{markdown_table(_HEADER, _ratio_rows(result, shape))}"
        for shape, title in SHAPES.items()
    ]
    notes = [*result.notes, *([f"not measured: {result.problem}"] if result.problem else [])]
    return "\n".join(tables) + "".join(f"\n- {note}" for note in notes) + ("\n" if notes else "")


def _ratio_rows(result: Result, shape: str) -> Iterator[tuple[str, ...]]:
    polls = result.spread(f"{shape}_polls")
    for way, title in WAYS.items():
        seconds = result.spread(f"{shape}_{way}_seconds")
        if seconds is None or polls is None:
            continue
        yield (
            title,
            *(number(each) for each in (seconds.median, seconds.minimum, seconds.maximum)),
            number(polls.median / seconds.median),
            "1" if way == OURS else _median(result.spread(f"{shape}_{way}_ratio")),
            *(
                _median(result.spread(f"{shape}_{way}_{figure}"))
                for figure in ("cpu_per_million", "written_per_poll", "peak_megabytes")
            ),
        )


def _median(spread: Spread | None) -> str:
    return number(spread.median) if spread else ""


def _figures() -> Iterator[Figure]:
    for shape, what in SHAPES.items():
        for way, title in WAYS.items():
            yield Figure(f"{shape}_{way}_seconds", f"{what}: {title}", "s")
            if way == OURS:
                yield Figure(
                    f"{shape}_{way}_rate", f"- {what}", "polls/s", target_min=MIN_RATES[shape]
                )
            else:
                for ratio, quantity in (("ratio", "time"), ("cpu_ratio", "CPU")):
                    name = f"{shape}_{way}_{ratio}"
                    yield Figure(
                        name,
                        f"- {what}: {quantity} of {title} to ours",
                        "times",
                        target_min=MIN_RATIOS.get(name),
                    )
            yield Figure(
                f"{shape}_{way}_cpu_per_million", "- CPU a million polls, its start included", "s"
            )
            yield Figure(
                f"{shape}_{way}_written_per_poll", "- written, the broker included", "bytes/poll"
            )
            yield Figure(f"{shape}_{way}_peak_megabytes", "- memory, the most", "MB")
    yield Figure(
        "live_postgres_report_seconds_a_store", "PostgreSQL: a walk over a store's minutes", "s"
    )


LINE: Final = Line(
    name="comparison",
    title="other ways to do the worker's work, interleaved on one topic",
    figures=tuple(_figures()),
    measure=measure,
)
