"""Runs the programs of peers in their own virtual environments, or on Java."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from hashlib import blake2b
from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError
from benchmarks.measured_run import run_measured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.measured_run import Usage


def python_of(folder: Path) -> Path:
    """Return the interpreter of a peer's environment; make it from `requirements.lock` if needed.

    Raises:
        SystemExit: the packages cannot be installed.
    """
    lock = folder / "requirements.lock"
    place = folder / ".venv"
    stamp = place / "made-of"
    digest = blake2b(lock.read_bytes()).hexdigest()
    python = place / "bin" / "python"
    if stamp.exists() and stamp.read_text() == digest:
        return python
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    install = [*("-m", "pip", "install", "--quiet", "--disable-pip-version-check")]
    installed = subprocess.run(
        [str(python), *install, "--require-hashes", "-r", str(lock)], check=False
    )
    if installed.returncode:
        raise SystemExit(f"the packages of {lock} cannot be installed")
    stamp.write_text(digest)
    return python


def run_app(folder: Path, *arguments: str) -> Usage:
    """Run the `app.py` of a peer in its environment to its end, and measure it.

    It can import `benchmarks.peers.python`, and other modules that need only packages it has.

    Raises:
        SystemExit: its packages cannot be installed, or it failed.
    """
    shared = {"PYTHONPATH": str(folder.parents[2])}
    return run([str(python_of(folder)), str(folder / "app.py"), *arguments], os.environ | shared)


def run(arguments: list[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run a program to its end and measure it; see `run_measured`.

    Raises:
        SystemExit: it failed.
    """
    try:
        return run_measured(arguments, environment)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None


def missing_java() -> str:
    """Return which of Java and Maven are missing and how to install them; empty if none is."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if not missing:
        return ""
    return f"{' and '.join(missing)} missing: install openjdk-17-jdk-headless and maven"


def class_path(folder: Path, jar: str) -> str:
    """Return the class path of a peer; compile it if its sources are newer than its jar.

    Raises:
        SystemExit: it cannot be compiled.
    """
    target = folder / "target"
    sources = [
        *(folder / "pom.xml", *folder.glob("src/**/*.java")),
        *(folder.parent / "java").glob("**/*.java"),
    ]
    compiled = target / jar
    if not compiled.exists() or compiled.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        # otherwise jars of earlier versions would stay on the class path
        shutil.rmtree(target, ignore_errors=True)
        run(["mvn", "--quiet", "--batch-mode", "--file", str(folder / "pom.xml"), "package"])
    return f"{compiled}:{target}/lib/*"
