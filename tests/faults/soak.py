"""Minutes of live pings while workers come and go every few seconds; ends with a comparison.

    python -m tests.faults.soak --minutes 20 --rate 1000 --brokers 3 --seed 1

It starts brokers, workers and an API of its own. What was answered 202 is computed again by plain
counting of minutes, for every store: as the workers hold it in the end, and rebuilt from the
changelog. Exit code 0: all stores are equal, no report was wrong, and no worker ended by itself
but those that were frozen for longer than their session, and fenced off. Otherwise 1, and the
folder with all logs and the broker is kept.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import uuid
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_app.contracts.partitioning import partition_of
from stream_app.setting_variables import PREFIX
from tests.faults.changes import Changes
from tests.faults.deployment import deployment, owned_by
from tests.faults.ledger import Ledger
from tests.faults.many_reports import differences
from tests.faults.oracle import dead_letters
from tests.faults.report_requests import ReportRequests
from tests.faults.steady_load import SteadyLoad
from tests.faults.stores import Store, make_stores

if TYPE_CHECKING:
    from tests.faults.deployment import Deployment

_PROGRESS_SECONDS: Final = 10.0
_PAUSES: Final = (1.0, 5.0)
"""Seconds between two changes: a random time between these."""

_LEAST, _MOST = 2, 4
_SHOWN: Final = 20


class Soak:
    """One run on a product that runs already.

    Attributes:
        faults: what is not as it must be, in words.

    Args:
        product: two workers and an API.
        arguments: of the command line.
    """

    def __init__(self, product: Deployment, arguments: Namespace) -> None:
        self.faults: list[str] = []
        self._product = product
        self._arguments = arguments
        randomness = random.Random(arguments.seed)
        reference = datetime.now(UTC).replace(second=0, microsecond=0)
        self._stores = [
            # the same stores for the same seed, with reports of now
            Store(store.id, reference, store.zone, store.hours)
            for store in make_stores(arguments.stores, arguments.seed)
        ]
        self._ledger = Ledger()
        self._load = SteadyLoad(
            product.settings,
            self._stores,
            self._ledger,
            rate=arguments.rate,
            randomness=random.Random(randomness.random()),
        )
        self._requests = ReportRequests(product, self._stores, self._ledger)
        self._changes = Changes(product, randomness, least=_LEAST, most=_MOST)
        self._pauses = random.Random(randomness.random())
        self._begun = time.monotonic()

    async def run(self) -> None:
        """Send, ask and change for the given time; then stop all that and compare."""
        await self._load.introduce()
        self._begun = time.monotonic()
        self._load.start()
        self._requests.start()
        progress = asyncio.create_task(self._tell_progress())
        try:
            while self._elapsed() < self._arguments.minutes * 60:
                await asyncio.sleep(self._pauses.uniform(*_PAUSES))
                self._load.check()
                await self._changes.one()
            _say("the changes end; waiting until all is calm")
            await self._changes.finish()
            await self._load.stop()
            await self._product.settled()
            await self._expect(self._requests.finish())
            await self._expect(self._punctual())
        finally:
            progress.cancel()
            await asyncio.gather(progress, return_exceptions=True)
            await self._changes.abandon()
            await self._load.abandon()
            await self._requests.abandon()
        self._tell_counts()
        await self._compare("as they are")
        await self._product.rebuild()
        await self._compare("rebuilt from the changelog")
        letters = await dead_letters(self._product.settings)
        if letters:
            self.faults.append(f"{len(letters)} dead letters, such as {letters[0]}")
        self._check_ends()

    async def _punctual(self) -> None:
        self._requests.check_deadline()

    async def _expect(self, check: object) -> None:
        try:
            await check  # type: ignore[misc]
        except AssertionError as error:
            self.faults.append(str(error))

    async def _compare(self, when: str) -> None:
        wrong = await differences(self._product, self._stores, self._ledger)
        if not wrong:
            _say(f"{when}: all {len(self._stores)} stores are equal")
            return
        partitions = self._product.settings.partitions
        self.faults.append(f"{when}: {len(wrong)} of {len(self._stores)} stores are wrong")
        for line in wrong[:_SHOWN]:
            partition = partition_of(line.partition(":")[0].encode(), partitions)
            _say(f"  partition {partition}: {line}")

    def _check_ends(self) -> None:
        ended = [
            f"{process.name}: {process.unexpected_ends} times"
            for process in self._product.processes
            if process.unexpected_ends
        ]
        ended += self._changes.ended
        _say(f"processes that ended by themselves: {len(ended)}")
        self.faults += [f"ended by itself: {process}" for process in ended]
        if ended:
            self.faults += [line for line in self._product.lines if "exit code" in line]

    def _tell_counts(self) -> None:
        made = self._changes.made
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(made.items()))
        outcomes = self._requests.outcomes
        failed = sum(outcome.status == "failed" for outcome in outcomes)
        slowest = max((outcome.running for outcome in outcomes), default=0.0)
        _say(f"changes: {made.total()} ({kinds})")
        _say(f"polls acknowledged: {self._ledger.polls:,}")
        _say(f"reports meanwhile: {len(outcomes)}, failed {failed}, slowest {slowest:.1f} s")

    async def _tell_progress(self) -> None:
        before = 0
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            workers = self._product.workers
            owned = set().union(*(owned_by(worker) for worker in workers.values()))
            polls = self._ledger.polls
            _say(
                f"{self._elapsed():5.0f} s: {self._changes.made.total()} changes, "
                f"{polls:,} polls acknowledged ({(polls - before) / _PROGRESS_SECONDS:.0f}/s), "
                f"{len(workers)} workers, {len(owned)} of {self._product.settings.partitions} "
                f"partitions owned, {len(self._requests.outcomes)} reports ended"
            )
            before = polls

    def _elapsed(self) -> float:
        return time.monotonic() - self._begun


async def soak(arguments: Namespace, data_dir: Path) -> list[str]:
    """Run on a product in a folder of its own; what is not as it must be, in words."""
    async with deployment(
        data_dir, workers=_LEAST, nodes=arguments.brokers, replication=arguments.brokers
    ) as product:
        run = Soak(product, arguments)
        await run.run()
        return run.faults


def main() -> int:
    """Run with the arguments of the command line; the exit code."""
    arguments = _parsed()
    for name in list(os.environ):
        # the settings of whoever runs it must not reach the product; the cache may
        if name.startswith(PREFIX) and name != f"{PREFIX}CACHE_DIR":
            del os.environ[name]
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data_dir = Path(tempfile.mkdtemp(prefix="store-uptime-soak-"))
    _say(f"seed {arguments.seed}, logs in {data_dir / 'logs'}")
    try:
        faults = asyncio.run(soak(arguments, data_dir))
    except KeyboardInterrupt:
        faults = ["stopped before its end"]
    except (AssertionError, TimeoutError) as error:
        faults = [f"{type(error).__name__}: {error}"]
    for fault in faults:
        _say(f"WRONG: {fault}")
    if faults:
        _say(f"kept: {data_dir}")
        return 1
    with suppress(OSError):
        shutil.rmtree(data_dir)
    _say("all as it must be")
    return 0


def _parsed() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=int, default=1000, help="pings a second")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3)
    parser.add_argument("--stores", type=int, default=600)
    parser.add_argument("--seed", type=int, default=uuid.uuid4().int % 100_000)
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
