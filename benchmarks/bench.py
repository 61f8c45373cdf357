"""The tools of a measurement: input files, deployments, and lines about the progress."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from benchmarks.deployment import deployment
from benchmarks.inputs import DAYS, STORES, make_inputs
from benchmarks.watermarks import Watermarks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from benchmarks.deployment import Deployment
    from benchmarks.inputs import Inputs

VISIBLE_SECONDS = 300.0
"""Longest wait until all polls are applied."""


class Bench:
    """The measurements of one command.

    Args:
        workspace: a temporary folder.
        say: prints a line about the progress.

    Attributes:
        run: the number of the current run, from 0.
        notes: remarks for the reader of the results.
        problems: the measurements that failed.
    """

    def __init__(self, workspace: Path, say: Callable[[str], None]) -> None:
        self.workspace = workspace
        self.say = say
        self.run = 0
        self.notes: list[str] = []
        self.problems: list[str] = []
        self._numbers = count(1)
        self._inputs: dict[tuple[int, float], Inputs] = {}
        self._loaded: Deployment | None = None
        self._ends = AsyncExitStack()

    def inputs(self, *, stores: int = STORES, days: float = DAYS) -> Inputs:
        """Write input files with hourly polls of these stores over these days, once."""
        key = (stores, days)
        if key not in self._inputs:
            self.say(f"writing polls of {stores:,} stores over {days:g} days")
            folder = self.workspace / f"inputs-{stores}-{days:g}"
            self._inputs[key] = make_inputs(folder, stores=stores, days=days)
        return self._inputs[key]

    def add_note(self, text: str) -> None:
        """Add a remark for the reader of the results, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)

    def problem(self, text: str) -> None:
        """Record that a part of a line failed; the line goes on, the command fails at its end."""
        self.say(f"failed: {text}")
        if text not in self.problems:
            self.problems.append(text)

    @asynccontextmanager
    async def deployment(self, **arguments: Any) -> AsyncIterator[Deployment]:
        """Start a deployment for the block, with the arguments of `deployment`."""
        self.say("starting broker, worker and API")
        folder = self.workspace / f"deployment-{next(self._numbers)}"
        async with deployment(folder, **arguments) as product:
            yield product

    async def loaded(self) -> Deployment:
        """Return a deployment with all of `inputs()`, which the lines that only read share."""
        if self._loaded is None:
            inputs = self.inputs()
            product = await self._ends.enter_async_context(self.deployment())
            async with Watermarks(product.settings) as watermarks:
                self.say(f"replaying {inputs.polls:,} polls")
                await product.run("replay", *inputs.arguments)
                await product.while_running(
                    watermarks.caught_up(), VISIBLE_SECONDS, "all polls visible"
                )
            self._loaded = product
        return self._loaded

    async def unload(self) -> None:
        """Stop the shared deployment, so that the next line has the machine alone."""
        self._loaded = None
        await self._ends.aclose()
