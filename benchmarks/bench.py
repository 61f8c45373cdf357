"""Makes what a measurement needs: input files, deployments, and lines about the progress."""

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
    """The state of the measurements of one command.

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
        self._loaded_deployment: Deployment | None = None
        self._exit_stack = AsyncExitStack()

    def inputs(self, *, stores: int = STORES, days: float = DAYS) -> Inputs:
        """Return files with hourly polls of these stores and days; write them on first use."""
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

    def add_problem(self, text: str) -> None:
        """Record that a part of a line failed; the line goes on, the command fails at its end."""
        self.say(f"failed: {text}")
        if text not in self.problems:
            self.problems.append(text)

    @asynccontextmanager
    async def deployment(self, **arguments: Any) -> AsyncIterator[Deployment]:
        """Start a deployment with the arguments of `deployment`, and stop it after the block."""
        self.say("starting broker, worker and API")
        folder = self.workspace / f"deployment-{next(self._numbers)}"
        async with deployment(folder, **arguments) as product:
            yield product

    async def loaded_deployment(self) -> Deployment:
        """Return the deployment with all `inputs()` that is shared by lines that only read."""
        if self._loaded_deployment is None:
            inputs = self.inputs()
            product = await self._exit_stack.enter_async_context(self.deployment())
            async with Watermarks(product.settings) as watermarks:
                self.say(f"replaying {inputs.polls:,} polls")
                await product.run("replay", *inputs.arguments)
                await product.while_running(
                    watermarks.caught_up(), VISIBLE_SECONDS, "all polls visible"
                )
            self._loaded_deployment = product
        return self._loaded_deployment

    async def unload(self) -> None:
        """Stop the shared deployment, so that the next line has the whole machine."""
        self._loaded_deployment = None
        await self._exit_stack.aclose()
