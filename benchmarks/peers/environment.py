"""A virtual environment of its own for a peer whose packages would not go with ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from hashlib import blake2b
from pathlib import Path


def python_of(folder: Path) -> Path:
    """The interpreter of a peer's environment, made from its `requirements.lock` where it is not.

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


def run(arguments: list[str]) -> None:
    """Run a program to its end.

    Raises:
        SystemExit: it failed, with its exit code.
    """
    try:
        ended = subprocess.run(arguments, check=False)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if ended.returncode:
        print(f"{Path(arguments[0]).name} ended with {ended.returncode}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1)
