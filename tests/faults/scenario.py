"""A fault under load: a deployment, its clients, and the comparison that ends every scenario."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.faults.deployment import deployment
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.many_reports import compare_many
from tests.faults.oracle import compare_all, dead_letters
from tests.faults.report_requests import Client, ReportRequests
from tests.faults.stores import make_stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.faults.archive import Archive
    from tests.faults.deployment import Deployment
    from tests.faults.stores import Store

STORES: Final = 60
_ONE_BY_ONE: Final = 500
_LOOK: Final = 0.1


@dataclass(frozen=True, slots=True)
class Observation:
    """What a user saw of a fault; printed, never asserted.

    Attributes:
        fault: in words.
        not_ready: seconds in which `/readyz` did not answer 200.
        answered_after: seconds from a fault to the end of the first complete report that was
            asked for after it, the longest of the scenario.
        reports: how many reports clients asked for meanwhile.
        failed: how many of them failed.
        slowest: seconds that the slowest of them took.
        polls: how many different polls were acknowledged.
    """

    fault: str
    not_ready: float
    answered_after: float
    reports: int
    failed: int
    slowest: float
    polls: int


class Scenario:
    """What a scenario works with; made by `under_load`.

    Attributes:
        product: the processes.
        stores: about whom the load speaks.
        ledger: what was acknowledged.
        load: the senders.
        requests: the report requests.
        refused: how many dead letters the scenario means to bring about.
        happened: what a scenario of random changes made happen; printed with the fault.
    """

    def __init__(self, product: Deployment, archive: Archive | None = None) -> None:
        self.product = product
        self.stores: list[Store] = list(archive.stores) if archive else []
        self.ledger = deepcopy(archive.ledger) if archive else Ledger()
        self.load = Load(product.settings, self.stores, self.ledger)
        self.requests = ReportRequests(product, self.stores, self.ledger)
        self.refused = 0
        self.happened: list[str] = []
        self._probes: list[asyncio.Task[float]] = []
        self._watch: asyncio.Task[None] | None = None
        self._not_ready = 0.0
        self._seed = 0

    def fault(self) -> None:
        """Something breaks now: measure how long it takes until a new report is complete."""
        self._probes.append(asyncio.create_task(self._until_answered()))

    async def recovered(self) -> None:
        """Wait until a report that was asked for after each fault is complete."""
        await asyncio.gather(*self._probes)

    async def kill(self, name: str) -> None:
        """SIGKILL a worker; it is started again a second later."""
        self.fault()
        await self.product.workers[name].kill()

    async def new_stores(self, count: int) -> None:
        """Stores that nobody has heard of until now."""
        self._seed += 1
        await self.load.introduce(make_stores(count, self._seed))

    async def begin(self, stores: int) -> None:
        """Stores exist, and the load and the requests begin."""
        if stores:
            await self.new_stores(stores)
        await self._until_answered()
        self.resume()
        self._watch = asyncio.create_task(self._watch_readiness())

    async def pause(self) -> None:
        """Stop sending and asking, and wait until all is acknowledged and applied."""
        await self.load.stop()
        await self.product.ready()
        await self.requests.finish()

    def resume(self) -> None:
        """Go on after `pause`."""
        self.load.start()
        self.requests.start()

    async def end(self, fault: str, *, rebuild: bool) -> Observation:
        """Stop the load, and hold every report to the ledger: now, and from the changelog alone."""
        await self.load.stop()
        await self.product.ready()
        answered_after = max(await asyncio.gather(*self._probes), default=0.0)
        await self.requests.finish()
        await self.abandon()
        await self._compare("after the fault")
        self.product.check_nothing_crashed()
        if rebuild:
            await self.product.rebuild()
            await self._compare("after a rebuild from the changelog")
            self.product.check_nothing_crashed()
        letters = await dead_letters(self.product.settings)
        assert len(letters) == self.refused, letters[:5]
        outcomes = self.requests.outcomes
        return Observation(
            fault=": ".join([fault, *filter(None, [", ".join(self.happened)])]),
            not_ready=self._not_ready,
            answered_after=answered_after,
            reports=len(outcomes),
            failed=sum(outcome.status == "failed" for outcome in outcomes),
            slowest=max(outcome.seconds for outcome in outcomes),
            polls=self.ledger.polls,
        )

    async def abandon(self) -> None:
        """End all that runs in this process."""
        tasks = [*self._probes, *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.load.abandon()
        await self.requests.abandon()

    async def _compare(self, when: str) -> None:
        # one report for each of thousands of stores would take as long as all faults together
        compare = compare_all if len(self.stores) <= _ONE_BY_ONE else compare_many
        await compare(self.product, self.stores, self.ledger, when)

    async def _until_answered(self) -> float:
        begun = time.monotonic()
        async with Client(self.product.address) as client:
            while True:
                status, _ = await client.finished(await client.trigger(self.stores[0]))
                if status == "complete":
                    return time.monotonic() - begun

    async def _watch_readiness(self) -> None:
        before = time.monotonic()
        while True:
            answer = await self.product.readiness()
            now = time.monotonic()
            if answer != "ready":
                self._not_ready += now - before
            before = now
            await asyncio.sleep(_LOOK)


@asynccontextmanager
async def under_load(
    fault: str,
    data_dir: Path,
    observed: Callable[[Observation], None],
    *,
    stores: int = STORES,
    rebuild: bool = True,
    archive: Archive | None = None,
    **deployed: Any,
) -> AsyncIterator[Scenario]:
    """A product under load; leaving the block ends the load and compares everything.

    Args:
        fault: in words, for the table.
        data_dir: an empty folder.
        observed: given what was measured, once all is as it must be.
        stores: how many, where there is no archive.
        rebuild: also compare after a rebuild from the changelog alone.
        archive: what to begin with: a broker, `worker-1` and what these know.
        deployed: further arguments of `deployment`.
    """
    begin_as = archive.folder if archive else None
    async with deployment(data_dir, begin_as=begin_as, **deployed) as product:
        scenario = Scenario(product, archive)
        try:
            await scenario.begin(0 if archive else stores)
            yield scenario
            observed(await scenario.end(fault, rebuild=rebuild))
        finally:
            await scenario.abandon()
