"""Shows the progress of a replay as a bar on a terminal."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class ProgressBar:
    """Draws a progress bar on standard error."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
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
