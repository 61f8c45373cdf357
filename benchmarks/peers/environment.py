"""A virtual environment of its own for a peer whose packages would not go with ours."""

from __future__ import annotations

import shutil
import subprocess
import venv
from hashlib import blake2b
from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError
from benchmarks.measured_run import run_measured

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measured_run import Usage


def python_of(folder: Path) -> Path:
    """Return the interpreter of a peer's environment, which is made from its `requirements.lock`.

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
    made = subprocess.run([str(python), *install, "--require-hashes", "-r", str(lock)], check=False)
    if made.returncode:
        raise SystemExit(f"the packages of {lock} cannot be installed")
    stamp.write_text(digest)
    return python


def run(arguments: list[str]) -> Usage:
    """Run a program to its end and measure it.

    Raises:
        SystemExit: it failed.
    """
    try:
        return run_measured(arguments)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
