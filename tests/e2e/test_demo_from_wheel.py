"""The product works where only the wheel is installed, the demo above all."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
from typing import TYPE_CHECKING

import pytest
import trove_classifiers

from stream_app.local.processes.ports import free_ports
from tests.e2e.product import Running
from tests.minute_walk import HEADER
from tests.sample import ROOT, STATUS, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

MOST_BYTES = 4_000_000
"""The largest size of the wheel; its sample data and the other files are a megabyte each."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone in an environment of its own, and return its `store-uptime`.

    The dependencies are those of the tests' environment; this checkout is not importable.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.stat().st_size < MOST_BYTES

    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    subprocess.run([*install, "--quiet", str(wheel)], check=True, capture_output=True)
    # a .pth file of a path alone: Python does not follow the checkout's editable install in there
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = subprocess.run(
        [python, "-c", "import stream_app, api, producers; print(stream_app.__file__)"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(site))
    return folder / "venv/bin/store-uptime"


@pytest.fixture
def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """Return the folder in which a command runs, and check that it is empty at the end."""
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def test_the_demo_needs_no_checkout(
    program: Path, empty: Path, environment: dict[str, str]
) -> None:
    demo = subprocess.run(
        [program, "demo"],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert demo.returncode == 0, demo.stderr
    assert str(ROOT) not in demo.stderr
    sample = Sample([STATUS])
    assert demo.stdout.startswith(HEADER)
    rows = list(csv.reader(io.StringIO(demo.stdout)))[1:]
    assert len(rows) == 8
    for row in rows:
        assert ",".join(row) == sample.csv_row(row[0], sample.newest_poll).rstrip()


def test_the_broker_is_prepared_and_everything_starts(
    program: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    usage = run("--help")
    assert (usage.returncode, usage.stderr) == (0, "")
    assert "replay" in usage.stdout
    prepared = run("kafka", "prepare")
    assert prepared.returncode == 0, prepared.stderr
    assert "to be used: Kafka" in prepared.stderr
    with Running("up", "--api-port", "0", command=[str(program)], folder=tmp_path) as up:
        up.wait_for(r"^ready at (http://\S+)")
        status = run("kafka", "status")
        assert (status.returncode, status.stdout.count("=")) == (0, 1), status.stderr
        assert up.stop() == 0
    assert [path.name for path in tmp_path.iterdir()] == [".store-uptime"]


def test_the_wheel_has_known_classifiers_and_bounded_dependencies(program: Path) -> None:
    (file,) = program.parents[1].glob("lib/python*/site-packages/store_uptime-*/METADATA")
    metadata = file.read_text()
    classifiers = set(re.findall(r"^Classifier: (.*)$", metadata, re.MULTILINE))
    assert classifiers
    assert classifiers <= set(trove_classifiers.classifiers), "package indexes know them"
    # the product uses their private members, or their minor releases break callers
    for name in ("aiokafka", "rocksdict"):
        assert re.search(rf"^Requires-Dist: {name}<", metadata, re.MULTILINE)


def test_ctrl_c_in_the_middle_leaves_nothing(program: Path, empty: Path) -> None:
    with Running("demo", command=[str(program)], folder=empty) as demo:
        demo.wait_for(r"broker at")
        assert demo.stop(signal.SIGINT) == 130
    assert demo.lines[-1].endswith("everything is stopped")
    assert "Traceback" not in "\n".join(demo.lines)
    assert not any(line.startswith("store_id,") for line in demo.lines)


def test_two_demos_at_once(program: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """The second demo ends with one line: its folder is in use, or its port."""
    first, second = tmp_path / "one", tmp_path / "other"
    first.mkdir()
    second.mkdir()
    command = ("demo", "--keep")
    port = {"STORE_UPTIME_API_PORT": str(free_ports(1)[0])}
    named = {**environment, **port}
    with Running(*command, command=[str(program)], folder=first, environment=port) as demo:
        address = demo.wait_for(r"the API stays up at (http://\S+);")[1]
        folder_in_use = subprocess.run(
            [program, *command], cwd=first, env=named, capture_output=True, text=True, check=False
        )
        assert folder_in_use.returncode == 3
        assert folder_in_use.stdout == ""
        (line,) = folder_in_use.stderr.splitlines()
        assert re.search(rf"already running on .*: process {demo.process.pid}, {address}", line)

        port_in_use = subprocess.run(
            [program, *command], cwd=second, env=named, capture_output=True, text=True, check=False
        )
        assert port_in_use.returncode == 3
        (line,) = port_in_use.stderr.splitlines()
        assert f":{port['STORE_UPTIME_API_PORT']} (address already in use)" in line
        assert demo.stop(signal.SIGINT) == 0
    assert demo.lines[-1].endswith("everything is stopped")
