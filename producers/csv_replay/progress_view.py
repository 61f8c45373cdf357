"""Shows the progress of a replay: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class View(Protocol):
    """A context that shows the progress of a replay."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def print_line(self, line: str) -> None:
        """Print a line."""

    def start(self, step: str, total: int) -> None:
        """Begin a step of `total` units; 0 if the number is unknown."""

    def advance(self, done: int) -> None:
        """Show that `done` units of the step are done."""


class PlainView:
    """Prints one line for each step on standard error: for logs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def print_line(self, line: str) -> None:
        """Print a line."""
        sys.stderr.write(f"{line}\n")

    def start(self, step: str, total: int) -> None:  # noqa: ARG002  the bar needs it
        """Print the step."""
        self.print_line(step)

    def advance(self, done: int) -> None:
        """Print nothing: a log needs no progress."""


class TerminalView:
    """Draws a progress bar on standard error."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=console,
        )
        self._step: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_bar()
        self._progress.stop()

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def start(self, step: str, total: int) -> None:
        """Begin a bar below those of the steps before."""
        self._stop_bar()
        self._step = self._progress.add_task(step, total=total or None)

    def advance(self, done: int) -> None:
        """Move the bar."""
        if self._step is not None:
            self._progress.update(self._step, completed=done)

    def _stop_bar(self) -> None:
        if self._step is not None:
            self._progress.stop_task(self._step)


def default_view() -> View:
    """Return a bar if standard error is a terminal, else plain lines."""
    console = Console(stderr=True)
    return TerminalView(console) if console.is_terminal else PlainView()
