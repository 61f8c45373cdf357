"""Runs a scenario: a product under load, a fault, and the comparison of all reports at the end."""

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
from tests.faults.oracle import compare_all, read_dead_letters
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
_CHECK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Observation:
    """The effect of a fault on a user; it is printed, and no test compares it with a limit.

    Attributes:
        fault: the description of the fault.
        not_ready: seconds in which `/readyz` did not answer 200.
        answered_after: seconds from a fault to the end of the first complete report that was
            requested after it, the longest of the scenario.
        reports: the number of reports that clients requested in this time.
        failed: the number of these reports that failed.
        slowest: seconds that the slowest of these reports took.
        polls: the number of different polls that were acknowledged.
    """

    fault: str
    not_ready: float
    answered_after: float
    reports: int
    failed: int
    slowest: float
    polls: int


class Scenario:
    """A product under load, with the means to break it; `under_load` makes it.

    Attributes:
        product: the processes.
        stores: the stores whose facts the load sends.
        ledger: the facts that were sent and acknowledged.
        load: the senders of facts.
        requests: the clients that request reports.
        expected_dead_letters: the number of dead letters that the scenario causes on purpose.
        changes: the random changes that the scenario made; printed with the fault.
    """

    def __init__(self, product: Deployment, archive: Archive | None = None) -> None:
        self.product = product
        self.stores: list[Store] = list(archive.stores) if archive else []
        self.ledger = deepcopy(archive.ledger) if archive else Ledger()
        self.load = Load(product.settings, self.stores, self.ledger)
        self.requests = ReportRequests(product, self.stores, self.ledger)
        self.expected_dead_letters = 0
        self.changes: list[str] = []
        self._probes: list[asyncio.Task[float]] = []
        self._watch: asyncio.Task[None] | None = None
        self._not_ready = 0.0
        self._seed = 0

    def mark_fault(self) -> None:
        """Measure the time from now, when a part breaks, until a new report is complete."""
        self._probes.append(asyncio.create_task(self._wait_for_a_report()))

    async def wait_until_recovered(self) -> None:
        """Wait until, for each fault, a report that was requested after it is complete."""
        await asyncio.gather(*self._probes)

    async def kill(self, name: str) -> None:
        """Send SIGKILL to a worker; it is started again a second later."""
        self.mark_fault()
        await self.product.workers[name].kill()

    async def add_stores(self, count: int) -> None:
        """Send the first facts of new stores, and let the load include them."""
        self._seed += 1
        await self.load.introduce(make_stores(count, self._seed))

    async def start(self, stores: int) -> None:
        """Add the first stores, then start the load and the requests."""
        if stores:
            await self.add_stores(stores)
        await self._wait_for_a_report()
        self.resume()
        self._watch = asyncio.create_task(self._watch_readiness())

    async def pause(self) -> None:
        """Stop the load and the requests, and wait until all facts are acknowledged and applied."""
        await self.load.stop()
        await self.product.wait_until_ready()
        await self.requests.stop()

    def resume(self) -> None:
        """Start the load and the requests again after `pause`."""
        self.load.start()
        self.requests.start()

    async def end(self, fault: str, *, rebuild: bool) -> Observation:
        """Stop the load, and compare every report with the ledger.

        With `rebuild` they are compared once more after the workers have restored all facts from
        the changelog.
        """
        await self.load.stop()
        await self.product.wait_until_ready()
        answered_after = max(await asyncio.gather(*self._probes), default=0.0)
        await self.requests.stop()
        await self.abandon()
        await self._compare("after the fault")
        self.product.check_nothing_crashed()
        if rebuild:
            await self.product.rebuild()
            await self._compare("after a rebuild from the changelog")
            self.product.check_nothing_crashed()
        dead_letters = await read_dead_letters(self.product.settings)
        assert len(dead_letters) == self.expected_dead_letters, dead_letters[:5]
        outcomes = self.requests.outcomes
        return Observation(
            fault=": ".join([fault, *filter(None, [", ".join(self.changes)])]),
            not_ready=self._not_ready,
            answered_after=answered_after,
            reports=len(outcomes),
            failed=sum(outcome.status == "failed" for outcome in outcomes),
            slowest=max(outcome.seconds for outcome in outcomes),
            polls=self.ledger.poll_count,
        )

    async def abandon(self) -> None:
        """Cancel all tasks of this scenario."""
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

    async def _wait_for_a_report(self) -> float:
        started = time.monotonic()
        async with Client(self.product.address) as client:
            while True:
                status, _ = await client.wait_until_finished(await client.trigger(self.stores[0]))
                if status == "complete":
                    return time.monotonic() - started

    async def _watch_readiness(self) -> None:
        before = time.monotonic()
        while True:
            answer = await self.product.readiness()
            now = time.monotonic()
            if answer != "ready":
                self._not_ready += now - before
            before = now
            await asyncio.sleep(_CHECK_SECONDS)


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
    """Run a product under load; at the end of the block stop the load and compare all reports.

    Args:
        fault: the description of the fault, for the table.
        data_dir: an empty folder.
        observed: called with the measurements if all comparisons succeed.
        stores: the number of stores, if there is no archive.
        rebuild: also compare after the workers have restored all facts from the changelog.
        archive: the data of the broker and of `worker-1` to start with, and its stores.
        deployed: further arguments of `deployment`.
    """
    copy_of = archive.folder if archive else None
    async with deployment(data_dir, copy_of=copy_of, **deployed) as product:
        scenario = Scenario(product, archive)
        try:
            await scenario.start(0 if archive else stores)
            yield scenario
            observed(await scenario.end(fault, rebuild=rebuild))
        finally:
            await scenario.abandon()
