"""Computes partitions, processes and disk for stores and a ping interval, from measured costs.

python -m benchmarks.sizing
python -m benchmarks.sizing --stores 20000 --every 30s
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from benchmarks.errors import BenchmarkError, NotRunError
from benchmarks.results import FOLDER, read_result
from benchmarks.tables import markdown_table
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND
from stream_app.durations import format_duration, parse_duration
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADROOM: Final = 2.0
"""The measured rate divided by the planned rate: the rest is for the backlog after an outage."""

FEWEST_PARTITIONS: Final = 8
PARTITIONS_A_WORKER: Final = 4
"""Partitions for each worker, so that workers can be added later; partitions cannot be."""

SEGMENT_BYTES: Final = 1 << 30
SEGMENT_SPAN: Final = 7 * DAY
"""Kafka does not compact the active segment, which ends at SEGMENT_BYTES or after this time."""

SOURCE_SPAN: Final = 7 * DAY
"""The retention of `store-status`."""

DIRTY: Final = 2.0
"""The size of a compacted log before Kafka cleans it, divided by its live data."""

STORES: Final = (1_000, 4_559, 20_000, 100_000)
INTERVALS: Final = (HOUR, 5 * MINUTE, MINUTE, 10 * SECOND)

HEADER: Final = (
    "stores",
    "a ping every",
    "polls/s",
    "partitions",
    "workers",
    "API processes",
    "broker's disk, GB",
    "workers' disk, GB",
)


@dataclass(frozen=True, slots=True)
class Costs:
    """The measured costs: rates of one process, and bytes of one poll.

    Attributes:
        worker_rate: polls a second that a worker applies, one in each record.
        api_rate: single-poll posts a second that an API process acknowledges.
        source_bytes: bytes in `store-status`, one poll in each record.
        live_changelog_bytes: bytes of a live poll in the changelog before compaction.
        changelog_bytes: bytes of a poll in the changelog when a whole week is written at once.
        state_bytes: bytes of a poll in the worker's databases.
    """

    worker_rate: float
    api_rate: float
    source_bytes: float
    live_changelog_bytes: float
    changelog_bytes: float
    state_bytes: float


@dataclass(frozen=True, slots=True)
class Size:
    """The needs of a deployment; disk in bytes for one copy of everything."""

    stores: int
    interval: int
    rate: float
    partitions: int
    workers: int
    apis: int
    broker_disk: float
    worker_disk: float

    def row(self) -> tuple[str, ...]:
        """Return the row of the table with `HEADER`."""
        return (
            f"{self.stores:,}",
            format_duration(self.interval),
            f"{self.rate:,.1f}" if self.rate < 100 else f"{self.rate:,.0f}",
            str(self.partitions),
            str(self.workers),
            str(self.apis),
            gigabytes(self.broker_disk),
            gigabytes(self.worker_disk),
        )


def gigabytes(size: float) -> str:
    """Return the bytes in GB with two significant digits."""
    return f"{float(f'{size / 1e9:.2g}'):,g}"


def size(costs: Costs, stores: int, interval: int, retention: int) -> Size:
    """Compute the needs of stores with a poll every `interval` µs, stored for `retention` µs."""
    rate = stores * SECOND / interval
    workers = max(1, ceil(rate * HEADROOM / costs.worker_rate))
    partitions = FEWEST_PARTITIONS
    while partitions < PARTITIONS_A_WORKER * workers:
        partitions *= 2
    stored_polls = rate * retention / SECOND
    uncompacted = min(
        partitions * SEGMENT_BYTES, rate * SEGMENT_SPAN / SECOND * costs.live_changelog_bytes
    )
    return Size(
        stores=stores,
        interval=interval,
        rate=rate,
        partitions=partitions,
        workers=workers,
        apis=max(1, ceil(rate * HEADROOM / costs.api_rate)),
        broker_disk=rate * SOURCE_SPAN / SECOND * costs.source_bytes
        + stored_polls * costs.changelog_bytes * DIRTY
        + uncompacted,
        worker_disk=stored_polls * costs.state_bytes,
    )


def measured_costs(folder: Path = FOLDER) -> Costs:
    """Return the medians of the stored results.

    Raises:
        NotRunError: a figure is missing.
    """
    return Costs(
        worker_rate=_median("kafka-pings", "drain_rate", folder),
        api_rate=_median("http-pings", "single_mixed", folder),
        source_bytes=_median("kafka-pings", "source_bytes_per_poll", folder),
        live_changelog_bytes=_median("kafka-pings", "changelog_bytes_per_poll", folder),
        changelog_bytes=_median("replay", "changelog_bytes_per_poll", folder),
        state_bytes=_median("replay", "state_bytes_per_poll", folder),
    )


def _median(line: str, figure: str, folder: Path) -> float:
    result = read_result(line, folder)
    spread = result.spread(figure) if result else None
    if spread is None:
        raise NotRunError(f"{line} is not measured yet: make bench ONLY={line}")
    return spread.median


def sizing_table(
    costs: Costs,
    stores: Iterable[int] = STORES,
    intervals: Iterable[int] = INTERVALS,
    retention: int | None = None,
) -> str:
    """Return the sizing table in Markdown."""
    if retention is None:
        retention = Settings.from_environment({}).retention
    every = list(intervals)
    sizes = (size(costs, count, interval, retention) for count in stores for interval in every)
    return markdown_table(HEADER, (each.row() for each in sizes))


def _interval(text: str) -> int:
    interval = parse_duration(text)
    if interval <= 0:
        raise ValueError("an interval is longer than nothing")
    return interval


@click.command()
@click.option("--stores", type=click.IntRange(min=1), help="Only this number of stores.")
@click.option("--every", help="Only this ping interval, such as 5m.")
@click.option(
    "--results", type=click.Path(path_type=Path), default=FOLDER, help="Measured results."
)
def main(stores: int | None, every: str | None, results: Path) -> None:
    """Compute the needs of a deployment from the measured costs."""
    try:
        intervals = INTERVALS if every is None else (_interval(every),)
        counts = STORES if stores is None else (stores,)
        click.echo(sizing_table(measured_costs(results), counts, intervals), nl=False)
    except (BenchmarkError, ValueError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
