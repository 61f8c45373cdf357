"""Apache Kafka as jars, fetched once by Maven into a cache that all checkouts share.

Only jars that this version was tested with are run: before each use every jar is compared with a
SHA-256 in this package. The folder must have no other jar, because Java loads all jars in it.
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

_MAVEN_SECONDS: Final = 900.0
_TERMINAL_CODES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HELP: Final = re.compile(r"\s*->\s*\[Help \d+\].*")


@dataclass(frozen=True, slots=True)
class JarSet:
    """The jars that are downloaded together into one folder.

    Attributes:
        name: the name of its folder in the cache.
        pom: the file that lists the jars for Maven.
        checksums: the SHA-256 of every jar, as `sha256sum` writes it.
    """

    name: str
    pom: Path
    checksums: Path

    def folder(self, cache_dir: Path) -> Path:
        """Return the folder of the jars, whose name depends on the version and the dependencies."""
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
"""The broker, a Java client, and Kafka's own commands."""


def cached_jars(cache_dir: Path, jars: JarSet = KAFKA) -> Path | None:
    """Return the folder of the jars if it has exactly the expected ones; None otherwise."""
    folder = jars.folder(cache_dir)
    return None if find_jar_problem(folder, jars) else folder


def find_jar_problem(folder: Path, jars: JarSet = KAFKA) -> str | None:
    """Compare a folder with the expected jars; return the first difference, or None."""
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
    if extra := sorted(present.keys() - expected.keys()):
        return f"{folder / extra[0]} does not belong there"
    return None


async def fetch_jars(
    cache_dir: Path, jars: JarSet = KAFKA, *, report: Callable[[str], None] = lambda _: None
) -> Path:
    """Return the folder of the jars; download them with Maven if they are missing or changed.

    Two callers at the same time download once. The result of an interrupted download is not used.

    Args:
        cache_dir: folder of all sets of jars.
        jars: the set.
        report: gets one line for the person if something is downloaded.

    Raises:
        PrerequisiteError: there is no Maven, it cannot download the jars (the message has its
            reason), or the downloaded jars are not the expected ones.
    """
    present = cached_jars(cache_dir, jars)
    if present is not None:
        return present
    folder = jars.folder(cache_dir)
    lock = folder.with_name(f".{folder.name}.lock")
    busy = f"another process is still fetching Kafka into {folder.parent}"
    make_folder(folder.parent, SHARED_FOLDER)
    async with locked(lock, limit=_MAVEN_SECONDS, busy=busy):
        # another caller may have fetched them while this one waited
        problem = find_jar_problem(folder, jars)
        if problem is not None:
            why = f": {problem}" if folder.exists() else ""
            report(f"fetching Kafka {KAFKA_VERSION} into {folder.parent}{why}")
            await _fetch(folder, jars)
    return folder


async def _fetch(folder: Path, jars: JarSet) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        problem = find_jar_problem(folder, jars)
        raise PrerequisiteError(
            f"Maven is not on the PATH and Kafka's jars are not cached ({problem}): {INSTALL}"
        )
    with _incoming(folder.parent) as incoming:
        await _run_maven(maven, incoming, jars)
        if find_jar_problem(incoming / "jars", jars):
            # a jar in Maven's own cache may have been changed: download again without the cache
            shutil.rmtree(incoming / "jars")
            repository = f"-Dmaven.repo.local={incoming / 'repository'}"
            await _run_maven(maven, incoming, jars, repository)
        problem = find_jar_problem(incoming / "jars", jars)
        if problem:
            raise PrerequisiteError(
                f"{problem.replace(f'{incoming}/jars/', '')}, as Maven fetched it, so nothing of "
                "it is run: ask whoever runs the mirror that ~/.m2/settings.xml names, or start "
                "Docker, or name a broker in STORE_UPTIME_KAFKA_BOOTSTRAP"
            )
        # the folder is missing, or its jars are not the expected ones
        shutil.rmtree(folder, ignore_errors=True)
        try:
            (incoming / "jars").replace(folder)
        except OSError as error:
            raise PrerequisiteError(f"cannot write {folder}: {error.strerror}") from None


@contextmanager
def _incoming(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder for a download, and remove it at the end."""
    try:
        path = tempfile.mkdtemp(prefix=".incoming-", dir=folder)
    except OSError as error:
        raise PrerequisiteError(f"cannot write in {folder}: {error.strerror}") from None
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


async def _run_maven(maven: str, incoming: Path, jars: JarSet, *extra: str) -> None:
    """Let Maven write the jars into `<incoming>/jars`.

    Raises:
        PrerequisiteError: Maven failed; the message has its reason.
    """
    finished = await run_program(
        maven,
        "--quiet",
        "--batch-mode",
        "--strict-checksums",
        "-Dstyle.color=never",
        *extra,
        "--file",
        str(jars.pom),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={incoming / 'jars'}",
        limit=_MAVEN_SECONDS,
        folder=incoming,
    )
    if not finished.ok:
        reason = _reason(finished.output + "\n" + finished.errors)
        raise PrerequisiteError(f"Maven cannot fetch Kafka {KAFKA_VERSION}: {reason}")


def _sha256(path: Path, state: os.stat_result) -> str:
    return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1024)
def _digest(path: Path, *_state: int) -> str:
    """Return the SHA-256 of a file; read the file again only if its state has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(printed: str) -> str:
    """Return Maven's first error line, which has the cause; its other error lines are advice."""
    # Maven prints codes for a terminal even if an option forbids it
    lines = [line.strip() for line in _TERMINAL_CODES.sub("", printed).splitlines() if line.strip()]
    for line in lines:
        if line.startswith("[ERROR]") and line.removeprefix("[ERROR]").strip():
            return _HELP.sub("", line.removeprefix("[ERROR]")).strip()
    return lines[-1] if lines else "it says nothing"
