"""Kafka's own commands work on the local broker, as docs/how-to/run.md shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.product import run
from tests.sample import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


def shell(script: str, data_dir: Path, commands: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a shell that has the product's command on its PATH."""
    return subprocess.run(
        ["sh", "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{commands}:{os.environ['PATH']}",
            "STORE_UPTIME_DATA_DIR": str(data_dir),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_topics_are_made_and_listed(tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    program = commands / "store-uptime"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stream_app.cli.main "$@"\n')
    program.chmod(0o755)
    data_dir = tmp_path / "data dir"
    tools = run("kafka", "jars", "--tools", "--data-dir", str(data_dir), timeout=300)
    assert tools.returncode == 0, tools.stderr
    # the last line that the command prints is a command to list the topics
    listing = tools.stderr.splitlines()[-1].strip()
    assert listing.startswith(f'"{tools.stdout.strip()}/bin/kafka-topics" --list ')
    started = run("kafka", "start", "--data-dir", str(data_dir))
    assert started.returncode == 0, started.stderr
    try:
        creation = listing.replace("--list", "--create --topic made-by-hand")
        created = shell(creation, data_dir, commands)
        assert created.returncode == 0, created.stdout + created.stderr
        listed = shell(listing, data_dir, commands)
        assert listed.stdout.splitlines() == ["made-by-hand"], listed.stderr
        refused = shell(listing.partition(" --command-config")[0], data_dir, commands)
        assert refused.returncode != 0, "without the password"
    finally:
        run("kafka", "stop", "--data-dir", str(data_dir))
