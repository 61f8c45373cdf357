"""A worker that notes which source offsets it applies: first and last, by partition.

    python -m tests.faults.observed_worker FILE worker --name NAME

It is the product's worker; at its end it appends one line of JSON to FILE.
"""

from __future__ import annotations

import atexit
import json
import sys
from pathlib import Path
from typing import Any

from stream_app.agents.ownership import Ownership
from stream_app.cli.main import main as store_uptime

Span = list[int]
"""The first and the last offset that one process applied in a partition."""


def observe(file: Path) -> None:
    spans: dict[str, Span] = {}
    applied = Ownership.applied

    async def observed(
        self: Ownership, number: int, topic: str, offset: int, **kwargs: Any
    ) -> None:
        first, last = spans.get(f"{topic}/{number}", (offset, offset))
        spans[f"{topic}/{number}"] = [min(first, offset), max(last, offset)]
        await applied(self, number, topic, offset, **kwargs)

    def write() -> None:
        with file.open("a") as lines:
            lines.write(json.dumps(spans) + "\n")

    Ownership.applied = observed  # type: ignore[method-assign]
    atexit.register(write)


def program(file: Path) -> list[str]:
    """The command of such a worker, for `Deployment.new_worker`."""
    return [sys.executable, "-m", "tests.faults.observed_worker", str(file)]


def spans_of(file: Path) -> list[dict[str, Span]]:
    """What the processes noted, in the order of their ends."""
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    observe(Path(sys.argv[1]))
    sys.argv = ["store-uptime", *sys.argv[2:]]
    store_uptime()
