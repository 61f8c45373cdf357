"""Stores played live: the model's pings, sent at their pace and shown while they go."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from producers.record_sink import RecordSink
from producers.simulator.delivery_stats import Tally
from producers.simulator.pacer import Pinger
from producers.simulator.poll_file import PollFile
from producers.simulator.sinks import HttpPings, KafkaPings
from stream_app.contracts.access import Process
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.stores import encode_zone
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
"""A product that answers nothing for so long is told to be out of reach."""

BEHIND_SECONDS: Final = 2.0
"""Pings that go out so much later than they should are told of ..."""

BEHIND_AGAIN_SECONDS: Final = 30.0
"""... and again after so long."""

_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play, and where.

    Attributes:
        simulation: the stores.
        via: the way into the product.
        address: of the API, for `http`.
        duration: µs; None: until it is stopped.
        record: CSV file for the acknowledged polls.
        register: True sends hours and zones of the stores first.
    """

    simulation: Simulation
    via: Literal["http", "kafka"]
    address: str
    duration: int | None = None
    record: Path | None = None
    register: bool = False


@dataclass(slots=True)
class Played:
    """How it went, kept up to date while it goes.

    Attributes:
        tally: what became of the pings; None before the first.
        seconds: how long pings were sent.
        interrupted: True where it was stopped from outside.
        recorded: rows that were added to the file.
    """

    tally: Tally | None = None
    seconds: float = 0.0
    interrupted: bool = False
    recorded: int = 0

    @property
    def complete(self) -> bool:
        """True where every ping was answered."""
        return self.tally is not None and not self.tally.open and not self.tally.counts.failed

    def lines(self, record: Path | None) -> Iterator[str]:
        """The summary as lines of text."""
        if self.tally is None:
            return
        counts = self.tally.counts
        rate = counts.acknowledged / self.seconds if self.seconds else 0.0
        yield (
            f"{counts.sent:,} pings sent, {counts.acknowledged:,} acknowledged, "
            f"{counts.refused:,} refused, {counts.failed:,} failed, "
            f"{len(self.tally.open):,} without an answer"
        )
        median, high = self.tally.latency(0.5), self.tally.latency(0.99)
        times = (
            ""
            if median is None or high is None
            else (f"; acknowledged in {median * 1000:,.0f} ms (p50), {high * 1000:,.0f} ms (p99)")
        )
        yield f"{self.seconds:.1f} s: {rate:,.0f} pings/s{times}"
        if counts.retried:
            yield f"{counts.retried:,} were sent again; the last reason: {self.tally.trouble}"
        elif counts.failed:
            yield f"the last failure: {self.tally.trouble}"
        if self.tally.refusal is not None:
            yield f"the last refusal: {self.tally.refusal[1]}"
        if record is not None:
            yield f"{self.recorded:,} acknowledged polls added to {record}"


async def play(
    plan: Plan,
    settings: Settings,
    *,
    view: LiveView,
    played: Played,
    clock: Callable[[], int],
) -> None:
    """Play until the duration is over or this is cancelled.

    Args:
        plan: what to play.
        settings: of the service; a broker is looked for where they name none.
        view: shows how it goes.
        played: is kept up to date, also when this is cancelled or fails.
        clock: the wall clock, µs.

    Raises:
        StoreUptimeError: the product cannot be reached at the start, takes no pings, or the
            file cannot be written.
    """
    simulation = plan.simulation
    with ExitStack() as opened:
        file = opened.enter_context(PollFile(plan.record)) if plan.record else None

        def record(ping: Ping) -> None:
            if file is not None:
                store_id = simulation.store_ids[ping.store]
                file.add(store_id, ping.instant, active=ping.active)
                played.recorded = file.rows

        opened.enter_context(view)
        if plan.via == "kafka" or plan.register:
            settings = resolve_bootstrap(settings)
            await ensure_topics(settings, Process.SIMULATE)
        if plan.register:
            await register_stores(simulation, settings)
            view.note(f"hours and zones of {len(simulation.store_ids):,} stores are registered")
        sink = (
            HttpPings(plan.address, simulation.store_ids)
            if plan.via == "http"
            else KafkaPings(settings, simulation.store_ids)
        )
        loop = asyncio.get_running_loop()
        async with sink:
            began, start = loop.time(), clock()
            tally = played.tally = Tally(record, loop.time)
            pinger = Pinger(simulation.pings(start), sink, tally, clock)
            looker = asyncio.create_task(_look_on(tally, simulation, view, file))
            pinging = asyncio.create_task(
                pinger.run(None if plan.duration is None else start + plan.duration)
            )
            try:
                # a file that cannot be written ends it as well
                await asyncio.wait((looker, pinging), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                played.interrupted = True
                raise
            finally:
                await _end(pinging, looker)
                played.seconds = loop.time() - began
            if pinging.done() and not pinging.cancelled():
                pinging.result()


async def _end(pinging: asyncio.Task[None], looker: asyncio.Task[None]) -> None:
    """Wait for the answers that are still awaited."""
    pinging.cancel()
    await asyncio.wait((pinging,))
    looker.cancel()
    await asyncio.wait((looker,))
    if not looker.cancelled():
        looker.result()


async def register_stores(simulation: Simulation, settings: Settings) -> None:
    """Send the hours and zones of all stores and wait until the brokers hold them.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    async with RecordSink(settings) as sink:
        for store, store_id in enumerate(simulation.store_ids):
            hours = simulation.hours(store)
            if hours:
                value = encode_hours(store_id, hours)
                await sink.send(STORE_BUSINESS_HOURS, store_id.encode(), value)
            value = encode_zone(store_id, simulation.zone(store))
            await sink.send(STORE_TIMEZONES, store_id.encode(), value)


async def _look_on(
    tally: Tally, simulation: Simulation, view: LiveView, file: PollFile | None
) -> None:
    """Once a second: draw, write, and say in one line what is wrong and when it is over."""
    loop = asyncio.get_running_loop()
    watch = Watch(view.note)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if file is not None:
            file.flush()
        watch.look(tally, loop.time())
        view.show(tally, simulation.store_ids, loop.time())


class Watch:
    """Says once that the product does not answer, and once that it does again; and who is slow.

    Args:
        say: takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._silent_since: float | None = None
        self._told_behind: float | None = None

    def look(self, tally: Tally, now: float) -> None:
        """Compare with the last look; `now` is in seconds."""
        silence = tally.silence()
        if self._silent_since is None and silence >= SILENT_SECONDS:
            self._silent_since = now - silence
            reason = f": {tally.trouble}" if tally.trouble else ""
            self._say(
                f"no answer for {silence:.0f} s{reason}; {len(tally.open):,} pings wait, "
                "nothing is lost"
            )
        elif self._silent_since is not None and silence < SILENT_SECONDS:
            self._say(f"answers again, after {now - self._silent_since:.0f} s; going on")
            self._silent_since = None
        if self._silent_since is None and tally.behind >= BEHIND_SECONDS:
            if self._told_behind is None or now - self._told_behind >= BEHIND_AGAIN_SECONDS:
                self._told_behind = now
                self._say(
                    f"the product is slower than asked: pings go out {tally.behind:.0f} s late "
                    "(give a lower --rate, or more workers)"
                )
        elif tally.behind < BEHIND_SECONDS:
            self._told_behind = None
