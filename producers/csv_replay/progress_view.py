"""Shows the progress of a replay: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Protocol, Self


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


def default_view() -> View:
    """Return a bar if standard error is a terminal, else plain lines."""
    if not sys.stderr.isatty():
        return PlainView()
    # a log needs no rich, whose import takes a tenth of the time in which this command starts
    from producers.csv_replay.progress_bar import ProgressBar  # noqa: PLC0415

    return ProgressBar()
