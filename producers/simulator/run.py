"""Runs a simulation: sends the pings of the model as they become due, and shows the progress."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from producers.record_sink import RecordSink
from producers.simulator.delivery_stats import DeliveryStats
from producers.simulator.pacer import Pacer
from producers.simulator.poll_file import PollFile
from producers.simulator.sinks import HttpPingSink, KafkaPingSink
from stream_app.contracts.access import Process
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_TIMEZONES
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from producers.simulator.live_view import LiveView
    from producers.simulator.model import Ping, Simulation
    from stream_app.settings import Settings

SILENT_SECONDS: Final = 3.0
"""A product that has answered nothing for this long is reported as out of reach."""

BEHIND_SECONDS: Final = 2.0
"""A delay of the pings is reported from this length on."""

BEHIND_AGAIN_SECONDS: Final = 30.0
"""A delay that lasts is reported again after this time."""

_REPORT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """The simulated stores, and how their pings are sent.

    Attributes:
        simulation: the stores.
        via: the interface of the product to which the pings are sent.
        address: address of the API, for `http`.
        duration: µs; None for a run that ends when it is cancelled.
        poll_file: CSV file to which acknowledged polls are appended; None for no file.
        register: True sends business hours and timezones of the stores first.
    """

    simulation: Simulation
    via: Literal["http", "kafka"]
    address: str
    duration: int | None = None
    poll_file: Path | None = None
    register: bool = False


@dataclass(slots=True)
class SimulationResult:
    """The result of a simulation; it is up to date while the simulation runs.

    Attributes:
        stats: delivery statistics; None before the first ping.
        seconds: duration of the sending.
        interrupted: True if the run was cancelled.
        recorded: number of rows added to the poll file.
    """

    stats: DeliveryStats | None = None
    seconds: float = 0.0
    interrupted: bool = False
    recorded: int = 0

    @property
    def complete(self) -> bool:
        """Return True if every ping was answered."""
        return self.stats is not None and not self.stats.in_flight and not self.stats.counts.failed

    def summary_lines(self, poll_file: Path | None) -> Iterator[str]:
        """Yield the result as lines of text."""
        if self.stats is None:
            return
        counts = self.stats.counts
        rate = counts.acknowledged / self.seconds if self.seconds else 0.0
        yield (
            f"{counts.sent:,} pings sent, {counts.acknowledged:,} acknowledged, "
            f"{counts.rejected:,} rejected, {counts.failed:,} failed, "
            f"{len(self.stats.in_flight):,} without an answer"
        )
        median, high = self.stats.latency(0.5), self.stats.latency(0.99)
        times = (
            ""
            if median is None or high is None
            else (f"; acknowledged in {median * 1000:,.0f} ms (p50), {high * 1000:,.0f} ms (p99)")
        )
        yield f"{self.seconds:.1f} s: {rate:,.0f} pings/s{times}"
        if counts.retried:
            yield (
                f"{counts.retried:,} pings were sent again; the last reason: "
                f"{self.stats.last_error}"
            )
        elif counts.failed:
            yield f"the last failure: {self.stats.last_error}"
        if self.stats.last_rejection is not None:
            yield f"the last rejection: {self.stats.last_rejection[1]}"
        if poll_file is not None:
            yield f"{self.recorded:,} acknowledged polls added to {poll_file}"


async def run_simulation(
    plan: SimulationPlan,
    settings: Settings,
    *,
    view: LiveView,
    result: SimulationResult,
    clock: Callable[[], int],
) -> None:
    """Run a simulation until its duration is over or this coroutine is cancelled.

    Args:
        plan: the simulation.
        settings: settings of the service; without a broker in them, a local one is looked for.
        view: shows the progress.
        result: the result, which is updated while this runs, also if it is cancelled or fails.
        clock: the wall clock, µs.

    Raises:
        StoreUptimeError: the product cannot be reached at the start or accepts no pings, or the
            file cannot be written.
    """
    simulation = plan.simulation
    with ExitStack() as stack:
        file = stack.enter_context(PollFile(plan.poll_file)) if plan.poll_file else None

        def record(ping: Ping) -> None:
            if file is not None:
                store_id = simulation.store_ids[ping.store]
                file.add(store_id, ping.instant, active=ping.active)
                result.recorded = file.rows

        stack.enter_context(view)
        if plan.via == "kafka" or plan.register:
            settings = resolve_bootstrap(settings)
            await ensure_topics(settings, Process.SIMULATE)
        if plan.register:
            await register_stores(simulation, settings)
            view.print_line(
                f"hours and timezones of {len(simulation.store_ids):,} stores are registered"
            )
        sink = (
            HttpPingSink(plan.address, simulation.store_ids)
            if plan.via == "http"
            else KafkaPingSink(settings, simulation.store_ids)
        )
        loop = asyncio.get_running_loop()
        async with sink:
            started, start = loop.time(), clock()
            stats = result.stats = DeliveryStats(record, loop.time)
            pacer = Pacer(simulation.pings(start), sink, stats, clock)
            reporting = asyncio.create_task(_report_periodically(stats, simulation, view, file))
            sending = asyncio.create_task(
                pacer.run(None if plan.duration is None else start + plan.duration)
            )
            try:
                # an error of the file ends the run too
                await asyncio.wait((reporting, sending), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                result.interrupted = True
                raise
            finally:
                await _stop(sending, reporting)
                result.seconds = loop.time() - started
            if sending.done() and not sending.cancelled():
                sending.result()


async def _stop(sending: asyncio.Task[None], reporting: asyncio.Task[None]) -> None:
    """End both tasks; the pings in flight still get their answers."""
    sending.cancel()
    await asyncio.wait((sending,))
    reporting.cancel()
    await asyncio.wait((reporting,))
    if not reporting.cancelled():
        reporting.result()


async def register_stores(simulation: Simulation, settings: Settings) -> None:
    """Send the business hours and timezones of all stores and wait for the acknowledgements.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    async with RecordSink(settings) as sink:
        for store, store_id in enumerate(simulation.store_ids):
            hours = simulation.business_hours(store)
            if hours:
                value = encode_hours(store_id, hours)
                await sink.send(STORE_BUSINESS_HOURS, store_id.encode(), value)
            value = encode_timezone(store_id, simulation.timezone(store))
            await sink.send(STORE_TIMEZONES, store_id.encode(), value)


async def _report_periodically(
    stats: DeliveryStats, simulation: Simulation, view: LiveView, file: PollFile | None
) -> None:
    """Once a second: write the file, report a problem or its end, and draw the view."""
    loop = asyncio.get_running_loop()
    reporter = HealthReporter(view.print_line)
    while True:
        await asyncio.sleep(_REPORT_SECONDS)
        if file is not None:
            file.flush()
        reporter.check(stats, loop.time())
        view.show(stats, simulation.store_ids, loop.time())


class HealthReporter:
    """Reports when the product stops answering, answers again, or is slower than the pings.

    Args:
        print_line: prints a line.
    """

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self._print_line = print_line
        self._silent_since: float | None = None
        self._delay_shown_at: float | None = None

    def check(self, stats: DeliveryStats, now: float) -> None:
        """Report a change since the previous check; `now` is in seconds."""
        silence = stats.seconds_without_answer()
        if self._silent_since is None and silence >= SILENT_SECONDS:
            self._silent_since = now - silence
            reason = f": {stats.last_error}" if stats.last_error else ""
            self._print_line(
                f"no answer for {silence:.0f} s{reason}; {len(stats.in_flight):,} pings wait, "
                "nothing is lost"
            )
        elif self._silent_since is not None and silence < SILENT_SECONDS:
            self._print_line(f"the product answers again, after {now - self._silent_since:.0f} s")
            self._silent_since = None
        if self._silent_since is None and stats.seconds_behind >= BEHIND_SECONDS:
            if self._delay_shown_at is None or now - self._delay_shown_at >= BEHIND_AGAIN_SECONDS:
                self._delay_shown_at = now
                self._print_line(
                    "the product is slower than the pings: they are sent "
                    f"{stats.seconds_behind:.0f} s late (give a lower --rate, or start more "
                    "workers)"
                )
        elif stats.seconds_behind < BEHIND_SECONDS:
            self._delay_shown_at = None
