"""The examples run as their readers run them, and print the reports of the API."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.e2e.product import Http, run, up
from tests.sample import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

EXAMPLES = ROOT / "examples"
REFERENCE = "2024-03-11T20:00:00Z"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Start a product, and return the address of its API and its folder."""
    folder = tmp_path_factory.mktemp("examples") / "data"
    running, address = up(folder)
    with running:
        yield address, folder


def output_of(*command: str | Path) -> str:
    """Run an example, check that its exit code is 0, and return its output."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def report_of(address: str, store: str) -> str:
    async with Http(address) as http:
        status, text = await http.wait_until_finished(
            await http.trigger(store, reference_time=REFERENCE)
        )
        assert status == 200
        return text


def test_curl(product: tuple[str, Path]) -> None:
    address, _ = product
    store = str(uuid.uuid4())

    output = output_of(EXAMPLES / "report.sh", address, store)

    _, report, day, intervals, incidents = output.split("# ")
    assert report.partition("\n")[2] == asyncio.run(report_of(address, store))
    # nine o'clock in Chicago is 14:00 UTC; an hour and a half of the business hours was down
    (row,) = csv.DictReader(io.StringIO(day.partition("\n")[2]))
    assert (row["date"], row["uptime_seconds"], row["downtime_seconds"]) == (
        "2024-03-11",
        "23400.0",
        "5400.0",
    )
    timeline = json.loads(intervals.partition("\n")[2])
    assert [each["status"] for each in timeline["intervals"]] == [
        "active",
        "inactive",
        "active",
        "unknown",
    ]
    (incident,) = json.loads(incidents.partition("\n")[2])["incidents"]
    assert (incident["start"], incident["downtime_seconds"]) == ("2024-03-11T16:00:00Z", 5400.0)


def test_python(product: tuple[str, Path]) -> None:
    address, _ = product
    store = str(uuid.uuid4())

    output = output_of(sys.executable, EXAMPLES / "report.py", address, store)

    assert output == asyncio.run(report_of(address, store))
    assert output.splitlines()[1].split(",")[1:3] == ["60", "4.5"]


def test_java_through_kafka_alone(product: tuple[str, Path]) -> None:
    if shutil.which("javac") is None:
        pytest.skip("no Java compiler: apt-get install -y default-jdk-headless")
    address, folder = product
    store = str(uuid.uuid4())
    jars = run("kafka", "jars", "--data-dir", str(folder)).stdout.strip()
    login = run("kafka", "client-properties", "--data-dir", str(folder)).stdout.strip()

    output = output_of("java", "-cp", f"{jars}/*", EXAMPLES / "Report.java", login, store)

    assert output == asyncio.run(report_of(address, store))
    assert output.splitlines()[1].split(",")[1:3] == ["60", "4.5"]
