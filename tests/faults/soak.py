"""Sends polls for minutes while workers come and go every few seconds, then compares all reports.

    python -m tests.faults.soak --minutes 20 --rate 1000 --brokers 3 --seed 1

It starts brokers, workers and an API of its own. At the end it computes the figures of every store
from the polls that were answered 202, and compares them with the reports twice: of the workers as
they are, and after they have restored all facts from the changelog. The exit code is 0 if all
stores are equal, no report was wrong, and no worker ended by itself except those that were frozen
for longer than their session, and fenced. Otherwise it is 1, and the folder with all logs and the
data of the broker stays.
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
from tests.faults.oracle import read_dead_letters
from tests.faults.report_requests import ReportRequests
from tests.faults.steady_load import SteadyLoad
from tests.faults.stores import Store, make_stores

if TYPE_CHECKING:
    from tests.faults.deployment import Deployment

_PROGRESS_SECONDS: Final = 10.0
_PAUSES: Final = (1.0, 5.0)
"""The shortest and the longest pause between two changes, in seconds."""

_LEAST, _MAX_INTEGER = 2, 4
_SHOWN: Final = 20


class Soak:
    """One run on a product that runs already.

    Attributes:
        failures: a line for each failed check.

    Args:
        product: the product, with two workers and an API.
        arguments: the arguments of the command line.
    """

    def __init__(self, product: Deployment, arguments: Namespace) -> None:
        self.failures: list[str] = []
        self._product = product
        self._arguments = arguments
        randomness = random.Random(arguments.seed)
        reference = datetime.now(UTC).replace(second=0, microsecond=0)
        self._stores = [
            # the same seed gives the same stores; their reference time is now
            Store(store.id, reference, store.timezone, store.hours)
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
        self._changes = Changes(product, randomness, least=_LEAST, most=_MAX_INTEGER)
        self._pauses = random.Random(randomness.random())
        self._started = time.monotonic()

    async def run(self) -> None:
        """Send polls, request reports and change workers for some minutes; then compare."""
        await self._load.introduce()
        self._started = time.monotonic()
        self._load.start()
        self._requests.start()
        progress = asyncio.create_task(self._print_progress())
        try:
            while self._elapsed() < self._arguments.minutes * 60:
                await asyncio.sleep(self._pauses.uniform(*_PAUSES))
                self._load.check()
                await self._changes.make_one()
            _print_line("the changes end; waiting until all is calm")
            await self._changes.wait_until_made()
            await self._load.stop()
            await self._product.wait_until_settled()
            await self._note_failure_of(self._requests.stop())
            await self._note_failure_of(self._check_deadline())
        finally:
            progress.cancel()
            await asyncio.gather(progress, return_exceptions=True)
            await self._changes.abandon()
            await self._load.abandon()
            await self._requests.abandon()
        self._print_counts()
        await self._compare("as they are")
        await self._product.rebuild()
        await self._compare("rebuilt from the changelog")
        dead_letters = await read_dead_letters(self._product.settings)
        if dead_letters:
            self.failures.append(f"{len(dead_letters)} dead letters, such as {dead_letters[0]}")
        self._check_ends()

    async def _check_deadline(self) -> None:
        self._requests.check_deadline()

    async def _note_failure_of(self, check: object) -> None:
        try:
            await check  # type: ignore[misc]
        except AssertionError as error:
            self.failures.append(str(error))

    async def _compare(self, when: str) -> None:
        wrong = await differences(self._product, self._stores, self._ledger)
        if not wrong:
            _print_line(f"{when}: all {len(self._stores)} stores are equal")
            return
        partitions = self._product.settings.partitions
        self.failures.append(f"{when}: {len(wrong)} of {len(self._stores)} stores are wrong")
        for line in wrong[:_SHOWN]:
            partition = partition_of(line.partition(":")[0].encode(), partitions)
            _print_line(f"  partition {partition}: {line}")

    def _check_ends(self) -> None:
        ended = [
            f"{process.name}: {process.unexpected_ends} times"
            for process in self._product.processes
            if process.unexpected_ends
        ]
        ended += self._changes.bad_ends
        _print_line(f"processes that ended by themselves: {len(ended)}")
        self.failures += [f"ended by itself: {process}" for process in ended]
        if ended:
            self.failures += [line for line in self._product.lines if "exit code" in line]

    def _print_counts(self) -> None:
        made = self._changes.made
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(made.items()))
        outcomes = self._requests.outcomes
        failed = sum(outcome.status == "failed" for outcome in outcomes)
        slowest = max((outcome.running for outcome in outcomes), default=0.0)
        _print_line(f"changes: {made.total()} ({kinds})")
        _print_line(f"polls acknowledged: {self._ledger.poll_count:,}")
        _print_line(f"reports meanwhile: {len(outcomes)}, failed {failed}, slowest {slowest:.1f} s")

    async def _print_progress(self) -> None:
        before = 0
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            workers = self._product.workers
            owned = set().union(*(owned_by(worker) for worker in workers.values()))
            polls = self._ledger.poll_count
            _print_line(
                f"{self._elapsed():5.0f} s: {self._changes.made.total()} changes, "
                f"{polls:,} polls acknowledged ({(polls - before) / _PROGRESS_SECONDS:.0f}/s), "
                f"{len(workers)} workers, {len(owned)} of {self._product.settings.partitions} "
                f"partitions owned, {len(self._requests.outcomes)} reports ended"
            )
            before = polls

    def _elapsed(self) -> float:
        return time.monotonic() - self._started


async def soak(arguments: Namespace, data_dir: Path) -> list[str]:
    """Run a soak on a product in a folder of its own, and return a line for each failed check."""
    async with deployment(
        data_dir, workers=_LEAST, nodes=arguments.brokers, replication=arguments.brokers
    ) as product:
        run = Soak(product, arguments)
        await run.run()
        return run.failures


def main() -> int:
    """Run with the arguments of the command line, and return the exit code."""
    arguments = _parse_arguments()
    for name in list(os.environ):
        # the settings of the caller's shell must not reach the product, except the cache
        if name.startswith(PREFIX) and name != f"{PREFIX}CACHE_DIR":
            del os.environ[name]
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data_dir = Path(tempfile.mkdtemp(prefix="store-uptime-soak-"))
    _print_line(f"seed {arguments.seed}, logs in {data_dir / 'logs'}")
    try:
        failures = asyncio.run(soak(arguments, data_dir))
    except KeyboardInterrupt:
        failures = ["stopped before its end"]
    except (AssertionError, TimeoutError) as error:
        failures = [f"{type(error).__name__}: {error}"]
    for failure in failures:
        _print_line(f"WRONG: {failure}")
    if failures:
        _print_line(f"kept: {data_dir}")
        return 1
    with suppress(OSError):
        shutil.rmtree(data_dir)
    _print_line("all as it must be")
    return 0


def _parse_arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=int, default=1000, help="polls a second")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3)
    parser.add_argument("--stores", type=int, default=600)
    parser.add_argument("--seed", type=int, default=uuid.uuid4().int % 100_000)
    return parser.parse_args()


def _print_line(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
