"""Apache Kafka as jars, fetched once by Maven into a cache that all checkouts share.

What is run is what this version was tested with: every jar is compared with a SHA-256 in this
package, each time that it is about to be used, and there may be no other jar in its folder, since
Java takes them all.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_app.errors import PrerequisiteError
from stream_app.local.processes.file_lock import locked
from stream_app.local.processes.files import SHARED_FOLDER, make_folder
from stream_app.local.processes.run_program import run_program

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

KAFKA_VERSION: Final = "4.3.1"

INSTALL: Final = (
    "install Java 17 or later and Maven (Debian, Ubuntu: `apt install maven`; macOS: "
    "`brew install maven`)"
)

_LIMIT: Final = 900.0
_TERMINAL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HELP: Final = re.compile(r"\s*->\s*\[Help \d+\].*")


@dataclass(frozen=True, slots=True)
class JarSet:
    """Jars that are fetched together.

    Attributes:
        name: the name of its folder in the cache.
        pom: the file that lists the jars for Maven.
        checksums: the SHA-256 of every jar, as `sha256sum` writes it.
    """

    name: str
    pom: Path
    checksums: Path

    def folder(self, cache_dir: Path) -> Path:
        """Name the folder of the jars of this version and this list of dependencies."""
        digest = hashlib.sha256(self.pom.read_bytes()).hexdigest()[:12]
        return cache_dir.expanduser().resolve() / f"{self.name}-{KAFKA_VERSION}-{digest}"

    def expected(self) -> dict[str, str]:
        """Return the SHA-256 of each jar by its name."""
        lines = self.checksums.read_text(encoding="utf-8").splitlines()
        return {name: digest for digest, name in (line.split() for line in lines)}


_HERE: Final = Path(__file__).parent

KAFKA: Final = JarSet("kafka", _HERE / "pom.xml", _HERE / "jars.sha256")
"""The broker, and a Java client."""

TOOLS: Final = JarSet("kafka-tools", _HERE / "tools-pom.xml", _HERE / "tools-jars.sha256")
"""The same with Kafka's own commands."""


def cached_jars(cache_dir: Path, jars: JarSet = KAFKA) -> Path | None:
    """Find the folder of the jars if it holds them, unchanged, and no others."""
    folder = jars.folder(cache_dir)
    return None if trouble_with(folder, jars) else folder


def trouble_with(folder: Path, jars: JarSet = KAFKA) -> str | None:
    """Check a folder of jars; return the fault in a few words, or None."""
    try:
        present = {path.name: _sha256(path, path.stat()) for path in folder.glob("*.jar")}
    except OSError as error:
        return f"{folder} cannot be read ({error.strerror})"
    expected = jars.expected()
    if not present:
        return f"{folder} is not there"
    if wrong := sorted(
        name for name in expected if present.get(name, "") not in ("", expected[name])
    ):
        return f"{folder / wrong[0]} is not the jar that Apache published"
    if missing := sorted(expected.keys() - present.keys()):
        return f"{folder / missing[0]} is missing"
    if further := sorted(present.keys() - expected.keys()):
        return f"{folder / further[0]} does not belong there"
    return None


async def fetch_jars(
    cache_dir: Path, jars: JarSet = KAFKA, *, report: Callable[[str], None] = lambda _: None
) -> Path:
    """Make sure that the jars are in the cache, unchanged, and return their folder.

    Maven fetches them where they are not. Two callers at once fetch once. A folder that an
    interrupted Maven leaves behind never counts as complete.

    Args:
        cache_dir: folder of all sets.
        jars: which ones.
        report: takes one line for the person where something is fetched.

    Raises:
        PrerequisiteError: no Maven, or Maven cannot fetch them, with Maven's reason; or what it
            fetches is not what it should be.
    """
    present = cached_jars(cache_dir, jars)
    if present is not None:
        return present
    folder = jars.folder(cache_dir)
    lock = folder.with_name(f".{folder.name}.lock")
    busy = f"another process is still fetching Kafka into {folder.parent}"
    make_folder(folder.parent, SHARED_FOLDER)
    async with locked(lock, limit=_LIMIT, busy=busy):
        # another caller may have fetched them while this one waited
        trouble = trouble_with(folder, jars)
        if trouble is not None:
            why = f": {trouble}" if folder.exists() else ""
            report(f"fetching Kafka {KAFKA_VERSION} into {folder.parent}{why}")
            await _fetch(folder, jars)
    return folder


async def _fetch(folder: Path, jars: JarSet) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        trouble = trouble_with(folder, jars)
        raise PrerequisiteError(
            f"Maven is not on the PATH and Kafka's jars are not cached ({trouble}): {INSTALL}"
        )
    with _incoming(folder.parent) as place:
        await _run_maven(maven, place, jars)
        if trouble_with(place / "jars", jars):
            # Maven believes its own cache, where someone may have changed a jar: once more without
            shutil.rmtree(place / "jars")
            await _run_maven(maven, place, jars, f"-Dmaven.repo.local={place / 'repository'}")
        trouble = trouble_with(place / "jars", jars)
        if trouble:
            raise PrerequisiteError(
                f"{trouble.replace(f'{place}/jars/', '')}, as Maven fetched it, so nothing of it "
                "is run: ask whoever runs the mirror that ~/.m2/settings.xml names, or start "
                "Docker, or name a broker in STORE_UPTIME_KAFKA_BOOTSTRAP"
            )
        # what is there is not what it should be
        shutil.rmtree(folder, ignore_errors=True)
        try:
            (place / "jars").replace(folder)
        except OSError as error:
            raise PrerequisiteError(f"cannot write {folder}: {error.strerror}") from None


@contextmanager
def _incoming(folder: Path) -> Iterator[Path]:
    """Yield a folder for what is not whole yet, which is removed at the end."""
    try:
        place = tempfile.mkdtemp(prefix=".incoming-", dir=folder)
    except OSError as error:
        raise PrerequisiteError(f"cannot write in {folder}: {error.strerror}") from None
    try:
        yield Path(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def _run_maven(maven: str, place: Path, jars: JarSet, *further: str) -> None:
    """Let Maven write the jars into `<place>/jars`.

    Raises:
        PrerequisiteError: it cannot, with its reason.
    """
    finished = await run_program(
        maven,
        "--quiet",
        "--batch-mode",
        "--strict-checksums",
        "-Dstyle.color=never",
        *further,
        "--file",
        str(jars.pom),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={place / 'jars'}",
        limit=_LIMIT,
        folder=place,
    )
    if not finished.ok:
        reason = _reason(finished.output + "\n" + finished.errors)
        raise PrerequisiteError(f"Maven cannot fetch Kafka {KAFKA_VERSION}: {reason}")


def _sha256(path: Path, state: os.stat_result) -> str:
    return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1024)
def _digest(path: Path, *_state: int) -> str:
    """Once a process for a file that does not change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(said: str) -> str:
    """Find Maven's first error line, which has the cause; the rest of its errors are advice."""
    # it writes codes for a terminal even if an option forbids them
    lines = [line.strip() for line in _TERMINAL.sub("", said).splitlines() if line.strip()]
    for line in lines:
        if line.startswith("[ERROR]") and line.removeprefix("[ERROR]").strip():
            return _HELP.sub("", line.removeprefix("[ERROR]")).strip()
    return lines[-1] if lines else "it says nothing"
