from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from stream_app.local.kafka.jars import JarSet
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put shell scripts on an otherwise bare PATH: `programs(name, script)`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "mkdir", "touch", "cat", "sleep"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    def put(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return put


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({}, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.fixture
def maven(
    tmp_path: Path, programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Callable[[], int]]:
    """Install a fake Maven that writes two jars: `calls = maven()`; `calls()` counts its calls.

    With `fail=True` it fails after the first jar. With `wrong=1` the jars of its first call are
    not those that Apache published, with `wrong=2` those of the first two calls.
    """
    calls = tmp_path / "maven-calls"
    empty = hashlib.sha256(b"").hexdigest()
    monkeypatch.setattr(JarSet, "expected", lambda _: {"a.jar": empty, "b.jar": empty})

    def install(*, fail: bool = False, wrong: int = 0) -> Callable[[], int]:
        ending = (
            "printf '\\033[0m\\033[0m'\n"
            "echo '[ERROR] Cannot resolve kafka_2.13: Network is unreachable -> [Help 1]'\n"
            "echo '[ERROR] To see the full stack trace, use -e'\nexit 1"
            if fail
            else 'touch "$out/b.jar"'
        )
        programs(
            "mvn",
            f"""
[ "$1" = -v ] && exit 0
echo "call $*" >> '{calls}'
for argument in "$@"; do
  case "$argument" in -DoutputDirectory=*) out="${{argument#-DoutputDirectory=}}";; esac
done
mkdir -p "$out"
touch "$out/a.jar"
called=0
while read -r _; do called=$((called + 1)); done < '{calls}'
[ $called -le {wrong} ] && echo rubbish > "$out/a.jar"
{ending}
""",
        )
        return lambda: calls.read_text().count("call") if calls.exists() else 0

    return install


@pytest.fixture
def java(programs: Callable[[str, str], Path]) -> Callable[[str], Path]:
    """Install a fake Java of a version: `java("17.0.15")`."""
    return lambda version: programs("java", f"echo 'openjdk version \"{version}\"' >&2")
