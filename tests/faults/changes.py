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
"""Seconds; a session is over after ten."""

KINDS: Final = ("join", "leave", "replace", "kill", *(f"freeze {s:g} s" for s in FREEZES))
_LOOK: Final = 0.1
_START_SECONDS: Final = 60.0
_DISK_LOST: Final = 0.5
_KNOWN_NAME: Final = 0.5
_CLEAN: Final = {0, -signal.SIGTERM}
"""Exit codes of a worker that was asked to stop; it may have been too young to know how."""


class Changes:
    """Makes one change after the other, and waits for none of them.

    Args:
        product: whose workers change.
        randomness: the same seed chooses alike, as far as the workers run alike.
        least: so many workers there are at the least; one of them at least is not frozen.
        most: so many workers there are at the most.

    Attributes:
        made: how many changes, by kind.
        ended: the workers that left and did not end well, in words.
    """

    def __init__(
        self, product: Deployment, randomness: random.Random, *, least: int = 1, most: int = 4
    ) -> None:
        self.made: Counter[str] = Counter()
        self.ended: list[str] = []
        self._product = product
        self._randomness = randomness
        self._least = least
        self._most = most
        self._busy: set[str] = set()
        self._replaced: set[str] = set()
        self._left: set[str] = set()
        self._names = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def one(self) -> str:
        """Make a change, as soon as one is possible; what it is, in words."""
        while not (possible := [kind for kind in KINDS if self._possible(kind)]):  # noqa: ASYNC110  processes tell nobody
            await asyncio.sleep(_LOOK)
        free = self._free()
        kind = self._randomness.choice(possible)
        self.made[kind] += 1
        if kind == "join":
            return f"{kind} of {(await self._join()).name}"
        victim = self._randomness.choice(free)
        if kind == "leave":
            self._begin(self._leave(victim))
        elif kind == "replace":
            newcomer = await self._join()
            self._busy.add(victim)
            self._replaced.add(victim)
            self._begin(self._leave_when_assigned(victim, newcomer, newcomer.begun_at))
            return f"{kind} of {victim} by {newcomer.name}"
        elif kind == "kill":
            await self._product.workers[victim].kill()
            if self._randomness.random() < _DISK_LOST:
                await asyncio.to_thread(self._lose_disk, victim)
                return f"{kind} of {victim}, and of its disk"
        else:
            self._begin(self._freeze(victim, float(kind.split()[1])))
        return f"{kind} of {victim}"

    def _free(self) -> list[str]:
        """The workers that run and with which nothing else is going on."""
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

    async def finish(self) -> None:
        """Wait for the end of all changes that were begun; every worker is left running."""
        await asyncio.gather(*self._tasks)

    async def abandon(self) -> None:
        """End all that runs in this process."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, change: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(change)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._tasks.discard(task)

    async def _join(self) -> Process:
        """One that was never there, or one that left: what it kept is of then."""
        known = sorted(self._left)
        if known and self._randomness.random() < _KNOWN_NAME:
            name = self._randomness.choice(known)
            self._left.discard(name)
        else:
            self._names += 1
            name = f"joiner-{self._names}"
        return await self._product.add_worker(name)

    async def _leave(self, name: str) -> None:
        worker = self._product.workers[name]
        code = await self._product.remove_worker(name)
        if code not in _CLEAN or worker.unexpected_ends:
            self.ended.append(f"{name}: exit code {code}, {worker.unexpected_ends} ends before")
        self._busy.discard(name)
        self._left.add(name)

    async def _leave_when_assigned(self, name: str, newcomer: Process, place: int) -> None:
        # one that was hurt in its first seconds says nothing: the other goes all the same
        with suppress(AssertionError):
            await newcomer.wait_until_said(ASSIGNED, _START_SECONDS, since=place)
        self._replaced.discard(name)
        await self._leave(name)

    async def _freeze(self, name: str, seconds: float) -> None:
        worker = self._product.workers[name]
        # while it is frozen its partitions get other owners, who shut it out
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
