"""Simulated stores on the running product: reports agree with the acknowledged polls."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_rows import StoreNumbers, read_polls
from producers.csv_replay.table import POLLS
from producers.simulator.delivery_stats import DeliveryStats
from producers.simulator.model import FaultRates, Simulation
from producers.simulator.pacer import Pacer
from producers.simulator.poll_file import PollFile
from producers.simulator.run import register_stores
from producers.simulator.sinks import HttpPingSink, KafkaPingSink
from stream_app.domain.timestamps import DAY, LATEST, MINUTE, SECOND, to_datetime
from tests.e2e.product import Http, Running, broker_environment, run, up
from tests.minute_walk import csv_row, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from producers.simulator.model import Ping
    from stream_app.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

FAULTS = FaultRates(outages=0.6, flapping=0.2, skewed=0.5, late=0.6, duplicates=0.2)


@pytest.fixture(scope="module")
def address(kafka_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a product with two workers on the broker of the tests, and return its address."""
    running, address = up(
        tmp_path_factory.mktemp("up"),
        "--workers",
        "2",
        environment=broker_environment(kafka_settings),
    )
    with running:
        yield address


def fast_clock(start: int, speed: int) -> Callable[[], int]:
    """Make a clock that starts at `start`, and is `speed` times as fast as the real time."""
    started = time.monotonic()
    return lambda: start + int((time.monotonic() - started) * speed * SECOND)


def read_recorded(path: Path) -> dict[str, list[tuple[datetime, str]]]:
    """Read the polls of a recorded file as `replay` does, and return them by store."""
    table = Table(path, POLLS)
    stores = StoreNumbers()
    polls: dict[str, list[tuple[datetime, str]]] = {}
    for chunk in read_polls(table, stores, lambda: LATEST):
        assert chunk.rejected == []
        for store, instant, active in chunk.accepted.rows():
            polls.setdefault(stores.ids[store], []).append(
                (to_datetime(instant), "active" if active else "inactive")
            )
    table.close()
    return polls


@pytest.mark.parametrize(("via", "seed"), [("http", 11), ("kafka", 12)])
async def test_reports_agree_with_the_acknowledged_polls(
    address: str, kafka_settings: Settings, tmp_path: Path, via: str, seed: int
) -> None:
    """The simulation sends three days of forty stores in a few seconds, with every fault."""
    end = time.time_ns() // 1000 - DAY
    start = end - 3 * DAY
    simulation = Simulation(40, 15 * MINUTE, seed=seed, faults=FAULTS)
    path = tmp_path / "polls.csv"
    await register_stores(simulation, kafka_settings)
    sink: Any = (
        HttpPingSink(address, simulation.store_ids)
        if via == "http"
        else KafkaPingSink(kafka_settings, simulation.store_ids)
    )
    with PollFile(path) as file:

        def record(ping: Ping) -> None:
            file.add(simulation.store_ids[ping.store], ping.instant, active=ping.active)

        stats = DeliveryStats(record, time.monotonic)
        async with sink:
            pacer = Pacer(simulation.pings(start), sink, stats, fast_clock(start, 100_000))
            await pacer.run(end)
    assert stats.counts.acknowledged > 5_000
    assert (stats.counts.rejected, stats.counts.failed, len(stats.in_flight)) == (0, 0, 0)

    reference = to_datetime(end)
    polls = read_recorded(path)
    assert sum(map(len, polls.values())) == stats.counts.acknowledged
    async with Http(address) as http:
        rows = await asyncio.gather(
            *(
                http.report_row(store_id, reference_time=reference.isoformat())
                for store_id in simulation.store_ids
            )
        )
    for store, (store_id, row) in enumerate(zip(simulation.store_ids, rows, strict=True)):
        minutes = walk(
            simulation.business_hours(store), simulation.timezone(store), polls[store_id], reference
        )
        assert row == csv_row(store_id, minutes).rstrip()


def test_the_command_counts_and_records_polls_and_ends_on_ctrl_c(
    address: str, kafka_settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "polls.csv"
    started = datetime.now(UTC).isoformat()
    arguments = ["simulate", "--stores", "40", "--every", "500ms", "--seed", "13"]
    arguments += ["--skewed", "0.5", "--register", "--record", str(path), "--api", address]
    arguments += ["--data-dir", str(tmp_path / "unused")]
    with Running(*arguments, environment=broker_environment(kafka_settings)) as running:
        running.wait_for(r"hours and timezones of 40 stores are registered")
        # the command prints figures after ten seconds
        running.wait_for(r"pings/s sent, .* acknowledged in .* of 40 stores down")
        assert running.stop(signal.SIGINT) == 0
    output = "\n".join(running.lines)
    assert "Traceback" not in output
    counts = re.search(
        r"([\d,]+) pings sent, ([\d,]+) acknowledged, ([\d,]+) rejected, 0 failed, 0 without",
        output,
    )
    assert counts is not None, output
    sent, acknowledged, rejected = (int(text.replace(",", "")) for text in counts.groups())
    assert sent == acknowledged + rejected
    assert rejected > 0
    assert f"{acknowledged:,} acknowledged polls added to {path}" in output
    assert sum(map(len, read_recorded(path).values())) == acknowledged

    listed = run(
        *("dead-letters", "list", "--reason", "ahead of the clock", "--since", started),
        *("--limit", "100000", "--data-dir", str(tmp_path / "unused")),
        environment=broker_environment(kafka_settings),
    )
    assert listed.returncode == 0, listed.stderr
    # a request that is sent again is rejected again; a body without a valid item is one dead letter
    whole = re.compile(r"no item is accepted \((\d+) refused\)")
    matches = [whole.search(line) for line in listed.stdout.splitlines()]
    assert sum(1 if match is None else int(match[1]) for match in matches) >= rejected
