"""`store-uptime simulate`: stores played live."""

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

_KEPT_EVERY: Final = 2 * SECOND
"""The time in which the product keeps about one poll of a store, over a week."""


def _duration(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not duration:
        raise click.BadParameter("nothing happens in no time")
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
    help=f"How many stores; default {DEFAULT_STORES}, or what --rate and --every come to.",
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
@click.option("--duration", metavar="DURATION", callback=_duration, help="End after so long.")
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="The same seed plays the same stores, and goes on with them.",
)
@click.option(
    "--via",
    type=click.Choice(["http", "kafka"]),
    default="http",
    show_default=True,
    help="Post to the API, or publish to Kafka as a store can by itself.",
)
@click.option("--api", "address", help="Address of the API; default: that of the data dir.")
@_share("outages", "Share of the stores that have an outage in any 60 of their pings.")
@_share("flapping", "Share of the stores that come and go all the time.")
@_share("skewed", "Share of the stores whose clock is off; one in five of these is rejected.")
@_share("late", "Share of the stores whose line is down for a while in any 60 of their pings.")
@_share("duplicates", "Share of the pings that are sent twice.")
@click.option("--calm", is_flag=True, help="No trouble at all.")
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
    """Play stores that report themselves, until Ctrl-C.

    The stores have outages, change their status often, have wrong clocks, and report late and
    twice. Pings do not queue up: if the product is slower than the pings, a line says so.
    """
    stores, every = size(stores, every, rate)
    settings = read_settings(data_dir=data_dir)
    trouble = FaultRates(0, 0, 0, 0, 0) if calm else FaultRates(**shares)
    plan = SimulationPlan(
        Simulation(stores, every, seed=seed, faults=trouble, tolerance=settings.future_tolerance),
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
    if every < _KEPT_EVERY:
        view.print_line(
            f"warning: a store that pings more often than every {format_duration(_KEPT_EVERY)} "
            "has more polls a week than the product keeps: fine for a while"
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
        click.UsageError: the three contradict each other, or come to nothing that can be played.
    """
    if rate is None:
        return stores or DEFAULT_STORES, every or DEFAULT_EVERY
    if stores is not None and every is not None:
        raise click.UsageError("of --stores, --every and --rate give two: they fix the third")
    if stores is None:
        every = every or DEFAULT_EVERY
        stores = max(1, round(rate * every / SECOND))
        if stores > MAX_STORES:
            raise click.UsageError(f"that takes more than {MAX_STORES:,} stores: say --stores")
    # exact for the rate, whatever whole number of stores it comes to
    return stores, max(1, round(stores * SECOND / rate))
