"""A worker that notes where in each source partition it began, and how far it was done.

    python -m tests.faults.observed_worker FILE worker --name NAME

It is the product's worker; at its end it appends one line of JSON to FILE.
"""

from __future__ import annotations

import atexit
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stream_app.cli.main import main as store_uptime
from stream_app.worker.commit_tracker import CommitTracker, InFlightEvent


@dataclass(slots=True)
class Run:
    """One process and one partition.

    Attributes:
        begun: the first offset that it was handed.
        done: the highest offset that it was done with; -1: none.
    """

    begun: int
    done: int = -1


def observe(file: Path) -> None:
    runs: dict[str, Run] = {}
    take = CommitTracker.track

    def observed(self: CommitTracker, event: Any) -> InFlightEvent:
        taken = take(self, event)
        offset = event.message.offset
        run = runs.setdefault(f"{event.message.topic}/{event.message.partition}", Run(offset))

        def ack() -> None:
            run.done = max(offset, run.done)
            taken.ack()

        return replace(taken, ack=ack)

    def write() -> None:
        with file.open("a") as lines:
            lines.write(json.dumps({name: asdict(run) for name, run in runs.items()}) + "\n")

    CommitTracker.track = observed  # type: ignore[method-assign]
    atexit.register(write)


def program(file: Path) -> list[str]:
    """The command of such a worker, for `Deployment.new_worker`."""
    return [sys.executable, "-m", "tests.faults.observed_worker", str(file)]


def runs_of(file: Path) -> list[dict[str, Run]]:
    """What the processes noted, in the order of their ends, by partition."""
    return [
        {name: Run(**run) for name, run in json.loads(line).items()}
        for line in file.read_text().splitlines()
    ]


if __name__ == "__main__":
    observe(Path(sys.argv[1]))
    sys.argv = ["store-uptime", *sys.argv[2:]]
    store_uptime()
