"""A process that is frozen, and has not ended, is killed and started again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from stream_app.local.processes.process_identity import command_line
from tests.e2e.product import run, up

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka


def children_of(pid: int) -> dict[str, int]:
    """Return the process ids of the API, the worker and the broker."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 - a kernel's file
        pids = [int(child) for child in file.read().split()]
    kinds = {"kafka-1": "kafka.Kafka", "worker-1": "--name worker-1", "api": "cli.main api"}
    return {
        name: child
        for name, marker in kinds.items()
        for child in pids
        if marker in " ".join(command_line(child))
    }


def test_a_frozen_process_is_killed_and_started_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    running, _ = up(data_dir, "--probe-period", "0.5")
    with running:
        for name in ("kafka-1", "api", "worker-1"):
            os.kill(children_of(running.process.pid)[name], signal.SIGSTOP)
            running.wait_for(rf"^{name} runs and has not answered 6 probes in a row \(3 s\)")
            running.wait_for(rf"^{name} ended \(signal 9\); starting it again")
        while run("kafka", "status", "--data-dir", str(data_dir)).returncode:
            pass
        store = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"
        (data_dir / "polls.csv").write_text(
            f"store_id,status,timestamp_utc\n{store},active,2023-01-24 09:06:42 UTC\n"
        )
        replayed = run("replay", "--data-dir", str(data_dir), "--status", f"{data_dir}/polls.csv")
        assert replayed.returncode == 0, replayed.stderr
        reported = run("report", "--data-dir", str(data_dir), store)
        assert reported.returncode == 0, reported.stderr
        assert running.stop() == 0
    lines = [line for line in running.lines if "probes in a row" in line]
    assert [line.split(" ")[0] for line in lines] == ["kafka-1", "api", "worker-1"]
