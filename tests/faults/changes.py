"""Random changes of membership: workers join, leave, are replaced, killed and frozen."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tests.faults.deployment import ASSIGNED, FENCED

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine

    from tests.faults.deployment import Deployment, Process

FREEZES: Final = (3.0, 13.0)
"""The seconds for which a worker is frozen; its session in the group is over after ten."""

KINDS: Final = ("join", "leave", "replace", "kill", *(f"freeze {s:g} s" for s in FREEZES))
_CHECK_SECONDS: Final = 0.1
_START_SECONDS: Final = 60.0
_DISK_LOSS_CHANCE: Final = 0.5
_KNOWN_NAME_CHANCE: Final = 0.5
_CLEAN_EXIT_CODES: Final = {0, -signal.SIGTERM}
"""A worker that is stopped ends with one of these. The second is the code of a worker that SIGTERM
reached before it had installed its handler."""


class Changes:
    """Makes one change after the other, and does not wait for the end of any.

    Args:
        product: the deployment whose workers change.
        randomness: the same seed makes the same choices, as far as the workers run alike.
        least: the least number of workers; at least one of them is not frozen.
        most: the largest number of workers.

    Attributes:
        made: the number of changes by kind.
        bad_ends: a line for each worker that left and did not end with a clean exit code.
    """

    def __init__(
        self, product: Deployment, randomness: random.Random, *, least: int = 1, most: int = 4
    ) -> None:
        self.made: Counter[str] = Counter()
        self.bad_ends: list[str] = []
        self._product = product
        self._randomness = randomness
        self._least = least
        self._most = most
        self._busy: set[str] = set()
        self._replaced: set[str] = set()
        self._left: set[str] = set()
        self._names = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def make_one(self) -> str:
        """Make a change as soon as one is possible, and return its description."""
        while not (possible := [kind for kind in KINDS if self._possible(kind)]):  # noqa: ASYNC110  a process ends without an event
            await asyncio.sleep(_CHECK_SECONDS)
        free = self._free()
        kind = self._randomness.choice(possible)
        self.made[kind] += 1
        if kind == "join":
            return f"{kind} of {(await self._join()).name}"
        victim = self._randomness.choice(free)
        if kind == "leave":
            self._start_task(self._leave(victim))
        elif kind == "replace":
            newcomer = await self._join()
            self._busy.add(victim)
            self._replaced.add(victim)
            self._start_task(self._leave_when_assigned(victim, newcomer, newcomer.log_start))
            return f"{kind} of {victim} by {newcomer.name}"
        elif kind == "kill":
            await self._product.workers[victim].kill()
            if self._randomness.random() < _DISK_LOSS_CHANCE:
                await asyncio.to_thread(self._lose_disk, victim)
                return f"{kind} of {victim}, and of its disk"
        else:
            self._start_task(self._freeze(victim, float(kind.split()[1])))
        return f"{kind} of {victim}"

    def _free(self) -> list[str]:
        """Return the workers that run and that no unfinished change concerns."""
        return [
            name
            for name, worker in self._product.workers.items()
            if name not in self._busy and worker.running
        ]

    def _possible(self, kind: str) -> bool:
        workers, free = len(self._product.workers), len(self._free())
        if kind == "join":
            return workers < self._most
        if kind == "replace":
            return workers < self._most and free >= 1
        if kind == "leave":
            return workers - len(self._replaced) > self._least and free > 1
        return free > 1

    async def wait_until_made(self) -> None:
        """Wait until all changes are complete; afterwards every worker runs."""
        await asyncio.gather(*self._tasks)

    async def abandon(self) -> None:
        """Cancel the tasks of all changes."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start_task(self, change: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(change)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._tasks.discard(task)

    async def _join(self) -> Process:
        """Start a new worker, or one that left before and whose disk has old data."""
        known = sorted(self._left)
        if known and self._randomness.random() < _KNOWN_NAME_CHANCE:
            name = self._randomness.choice(known)
            self._left.discard(name)
        else:
            self._names += 1
            name = f"joiner-{self._names}"
        return await self._product.add_worker(name)

    async def _leave(self, name: str) -> None:
        worker = self._product.workers[name]
        code = await self._product.remove_worker(name)
        if code not in _CLEAN_EXIT_CODES or worker.unexpected_ends:
            self.bad_ends.append(f"{name}: exit code {code}, {worker.unexpected_ends} ends before")
        self._busy.discard(name)
        self._left.add(name)

    async def _leave_when_assigned(self, name: str, newcomer: Process, log_offset: int) -> None:
        # a newcomer that is killed or frozen in its first seconds logs nothing: the other worker
        # leaves nevertheless
        with suppress(AssertionError):
            await newcomer.wait_until_logged(ASSIGNED, _START_SECONDS, since=log_offset)
        self._replaced.discard(name)
        await self._leave(name)

    async def _freeze(self, name: str, seconds: float) -> None:
        worker = self._product.workers[name]
        # while it is frozen its partitions get other owners, which fence it
        worker.may_end(FENCED)
        self._busy.add(name)
        worker.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            if worker.running:
                worker.resume()
            self._busy.discard(name)

    def _lose_disk(self, name: str) -> None:
        shutil.rmtree(self._product.worker_folder(name), ignore_errors=True)
