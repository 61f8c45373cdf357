"""Apache Kafka as jars, fetched once by Maven into a cache that all checkouts share."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from stream_app.errors import PrerequisiteError
from stream_app.processes.folders import SHARED_FOLDER, make_folder
from stream_app.processes.lock import locked
from stream_app.processes.program import run_program

KAFKA_VERSION: Final = "4.3.1"

INSTALL: Final = (
    "install Java 17 or later and Maven (Debian, Ubuntu: `apt install maven`; macOS: "
    "`brew install maven`)"
)

_POM: Final = Path(__file__).with_name("pom.xml")
_COMPLETE: Final = "complete"
_LIMIT: Final = 900.0
_HELP: Final = re.compile(r"\s*->\s*\[Help \d+\].*")


def jar_folder(cache_dir: Path) -> Path:
    """Where the jars of this version and this list of dependencies belong."""
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    return cache_dir.expanduser().resolve() / f"kafka-{KAFKA_VERSION}-{digest}"


def cached_jars(cache_dir: Path) -> Path | None:
    """The folder of the jars if all that were fetched are there."""
    folder = jar_folder(cache_dir)
    try:
        names = (folder / _COMPLETE).read_text(encoding="utf-8").split()
    except OSError:
        return None
    return folder if names and all((folder / name).is_file() for name in names) else None


async def fetch_jars(cache_dir: Path) -> Path:
    """The folder of the jars; Maven fetches them where the cache does not have them.

    Two callers at once fetch once. What Maven leaves behind when it is interrupted is never
    taken for complete.

    Raises:
        PrerequisiteError: no Maven, or Maven cannot fetch them; with Maven's reason.
    """
    found = cached_jars(cache_dir)
    if found is not None:
        return found
    folder = jar_folder(cache_dir)
    lock = folder.with_name(f".{folder.name}.lock")
    busy = f"another process is still fetching Kafka into {folder.parent}"
    async with locked(lock, limit=_LIMIT, busy=busy):
        # another caller may have fetched them while this one waited
        return cached_jars(cache_dir) or await _fetch(folder)


async def _fetch(folder: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise PrerequisiteError(
            f"Maven is not on the PATH and Kafka's jars are not cached: {INSTALL}"
        )
    make_folder(folder.parent, SHARED_FOLDER)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder.parent) as incoming:
        jars = Path(incoming) / "jars"
        finished = await run_program(
            maven,
            "--quiet",
            "--batch-mode",
            "--strict-checksums",
            "-Dstyle.color=never",
            "--file",
            str(_POM),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={jars}",
            limit=_LIMIT,
            folder=Path(incoming),
        )
        names = sorted(path.name for path in jars.glob("*.jar"))
        if not finished.ok or not names:
            reason = _reason(finished.output + "\n" + finished.errors)
            raise PrerequisiteError(f"Maven cannot fetch Kafka {KAFKA_VERSION}: {reason}")
        _publish(jars, names, folder)
    return folder


def _publish(jars: Path, names: list[str], folder: Path) -> None:
    """Make the fetched jars the cached ones, in one step."""
    (jars / _COMPLETE).write_text("\n".join(names) + "\n", encoding="utf-8")
    # what is there is incomplete: someone removed jars by hand
    shutil.rmtree(folder, ignore_errors=True)
    jars.replace(folder)


def _reason(said: str) -> str:
    """Maven's first error line, which has the cause; the rest of its errors are advice."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("[ERROR]") and line.removeprefix("[ERROR]").strip():
            return _HELP.sub("", line.removeprefix("[ERROR]")).strip()
    return lines[-1] if lines else "it says nothing"
