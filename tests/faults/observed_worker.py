"""A worker that records the first and the last offset that it processed of each source partition.

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
    """The offsets of one partition that one process read.

    Attributes:
        first: the first offset that it read.
        acknowledged: the highest offset that it acknowledged; -1 before the first.
    """

    first: int
    acknowledged: int = -1


def observe(file: Path) -> None:
    runs: dict[str, Run] = {}
    track = CommitTracker.track

    def observed(self: CommitTracker, event: Any) -> InFlightEvent:
        tracked = track(self, event)
        offset = event.message.offset
        run = runs.setdefault(f"{event.message.topic}/{event.message.partition}", Run(offset))

        def ack() -> None:
            run.acknowledged = max(offset, run.acknowledged)
            tracked.ack()

        return replace(tracked, ack=ack)

    def write() -> None:
        with file.open("a") as lines:
            lines.write(json.dumps({name: asdict(run) for name, run in runs.items()}) + "\n")

    CommitTracker.track = observed  # type: ignore[method-assign]
    atexit.register(write)


def program(file: Path) -> list[str]:
    """Return the command of an observed worker, for `Deployment.new_worker`."""
    return [sys.executable, "-m", "tests.faults.observed_worker", str(file)]


def runs_of(file: Path) -> list[dict[str, Run]]:
    """Return the runs of each process by partition, in the order in which the processes ended."""
    return [
        {name: Run(**run) for name, run in json.loads(line).items()}
        for line in file.read_text().splitlines()
    ]


if __name__ == "__main__":
    observe(Path(sys.argv[1]))
    sys.argv = ["store-uptime", *sys.argv[2:]]
    store_uptime()
