"""What a line gets to measure with: files, deployments, a way to say how far it is."""

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


class Bench:
    """The measurements of one command.

    Args:
        workspace: a temporary folder.
        say: shows what is being done.

    Attributes:
        run: the number of the run that is measured now, from 0.
        notes: what a reader of the results must know; a line adds to them.
        problems: what could not be measured.
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
        """Files of so many stores with hourly polls over so many days; made once."""
        key = (stores, days)
        if key not in self._inputs:
            self.say(f"writing polls of {stores:,} stores over {days:g} days")
            folder = self.workspace / f"inputs-{stores}-{days:g}"
            self._inputs[key] = make_inputs(folder, stores=stores, days=days)
        return self._inputs[key]

    def note(self, text: str) -> None:
        """Keep a line for the reader of the results; once, however often it is told."""
        if text not in self.notes:
            self.notes.append(text)

    def problem(self, text: str) -> None:
        """A part of a line failed; the line goes on, and the command ends with an error."""
        self.say(f"failed: {text}")
        if text not in self.problems:
            self.problems.append(text)

    @asynccontextmanager
    async def deployment(self, **arguments: Any) -> AsyncIterator[Deployment]:
        """A new deployment for the length of the block; arguments as `deployment` takes them."""
        self.say("starting broker, worker and API")
        folder = self.workspace / f"deployment-{next(self._numbers)}"
        async with deployment(folder, **arguments) as product:
            yield product

    async def loaded(self) -> Deployment:
        """A deployment that holds all of `inputs()`, shared by the lines that only read."""
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
        """End the shared deployment: what comes next has the machine to itself."""
        self._loaded = None
        await self._ends.aclose()
