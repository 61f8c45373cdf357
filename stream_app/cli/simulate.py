"""The command `store-uptime simulate`: sends the pings of simulated stores."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from producers.simulator.live_view import default_live_view
from producers.simulator.model import FaultRates, Simulation
from producers.simulator.run import SimulationPlan, SimulationResult, run_simulation
from stream_app.cli.options import FiniteRange, StrictCommand, data_dir_option, read_settings
from stream_app.clock import wall_clock
from stream_app.domain.timestamps import SECOND
from stream_app.durations import format_duration, parse_duration
from stream_app.errors import StoreUptimeError
from stream_app.local.processes.signals import run_until_signalled
from stream_app.local.run_file import api_address

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_STORES: Final = 100
DEFAULT_EVERY: Final = 10 * SECOND
MAX_STORES: Final = 1_000_000
MAX_RATE: Final = 10_000_000

_MIN_PERIOD: Final = 2 * SECOND
"""Polls of a store at this distance (µs) are as many in a week as the product stores."""


def _duration(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not duration:
        raise click.BadParameter("must be longer than 0")
    return duration


def _share(name: str, help_text: str) -> Callable[[Any], Any]:
    return click.option(
        f"--{name}",
        type=FiniteRange(0, 1),
        default=getattr(FaultRates(), name),
        show_default=True,
        help=help_text,
    )


@click.command(cls=StrictCommand)
@click.option(
    "--stores",
    type=click.IntRange(1, MAX_STORES),
    help=f"How many stores; default {DEFAULT_STORES}, or as --rate and --every require.",
)
@click.option(
    "--every",
    metavar="DURATION",
    callback=_duration,
    help=f"How often a store pings; default {format_duration(DEFAULT_EVERY)}.",
)
@click.option(
    "--rate", type=FiniteRange(min=0, min_open=True, max=MAX_RATE), help="Pings a second in all."
)
@click.option("--duration", metavar="DURATION", callback=_duration, help="End after this time.")
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="The same seed simulates the same stores, and goes on with them.",
)
@click.option(
    "--via",
    type=click.Choice(["http", "kafka"]),
    default="http",
    show_default=True,
    help="Post to the API, or publish to Kafka, as stores can do themselves.",
)
@click.option("--api", "address", help="Address of the API; default: that of the data dir.")
@_share("outages", "Share of the stores that have an outage during 60 pings.")
@_share("flapping", "Share of the stores that go down and come up all the time.")
@_share("skewed", "Share of the stores with a wrong clock; one in five of these is rejected.")
@_share("late", "Share of the stores that send some of 60 pings late, after a network failure.")
@_share("duplicates", "Share of the pings that are sent twice.")
@click.option("--calm", is_flag=True, help="None of these faults.")
@click.option("--register", is_flag=True, help="Send hours and timezones first.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Add every acknowledged poll to this CSV; `store-uptime replay --status` reads it.",
)
@data_dir_option
def simulate(
    *,
    stores: int | None,
    every: int | None,
    rate: float | None,
    duration: int | None,
    seed: int,
    via: Literal["http", "kafka"],
    address: str | None,
    calm: bool,
    register: bool,
    record: Path | None,
    data_dir: Path | None,
    **shares: float,
) -> None:
    """Simulate stores that send pings, until Ctrl-C.

    The stores have outages, change their status often, have wrong clocks, and report late and
    twice. Pings do not queue up: if the product is slower than the pings, a line says so.
    """
    stores, every = size(stores, every, rate)
    settings = read_settings(data_dir=data_dir)
    faults = FaultRates(0, 0, 0, 0, 0) if calm else FaultRates(**shares)
    plan = SimulationPlan(
        Simulation(stores, every, seed=seed, faults=faults, tolerance=settings.future_tolerance),
        via,
        address or api_address(settings),
        duration,
        record,
        register,
    )
    view = default_live_view()
    view.print_line(
        f"{stores:,} stores, a ping every {format_duration(every)} each: "
        f"{stores * SECOND / every:,.1f} pings/s via {via}; Ctrl-C ends it"
    )
    if every < _MIN_PERIOD:
        view.print_line(
            f"warning: a store that pings more often than every {format_duration(_MIN_PERIOD)} "
            "has more polls a week than the product stores: only for short runs"
        )
    result = SimulationResult()
    try:
        asyncio.run(
            run_until_signalled(
                run_simulation(
                    plan,
                    settings,
                    view=view,
                    result=result,
                    clock=wall_clock,
                )
            )
        )
    finally:
        for line in result.summary_lines(record):
            click.echo(line)
    if not (result.complete or result.interrupted):
        raise StoreUptimeError("not every ping was answered")


def size(stores: int | None, every: int | None, rate: float | None) -> tuple[int, int]:
    """Compute how many stores there are, and the µs between two pings of a store.

    Raises:
        click.UsageError: all three are given, or they require too many stores.
    """
    if rate is None:
        return stores or DEFAULT_STORES, every or DEFAULT_EVERY
    if stores is not None and every is not None:
        raise click.UsageError("give two of --stores, --every and --rate: they fix the third")
    if stores is None:
        every = every or DEFAULT_EVERY
        stores = max(1, round(rate * every / SECOND))
        if stores > MAX_STORES:
            raise click.UsageError(f"this requires more than {MAX_STORES:,} stores: give --stores")
    # the period makes the rate exact, because the number of stores is rounded
    return stores, max(1, round(stores * SECOND / rate))
