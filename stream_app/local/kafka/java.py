"""Find a Java that can run Kafka, or say why none of those that are here can."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_app.local.kafka.jars import INSTALL
from stream_app.local.processes.run_program import run_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_app.local.processes.run_program import Finished

OLDEST: Final = 17
"""The oldest Java that Kafka 4 runs on."""

SMALL: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Options of every Java that is started: it asks for little address space, and is ready sooner."""

_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')
_MAVEN_RUNTIME: Final = re.compile(r"runtime: (.+)$", re.MULTILINE)
_LIMIT: Final = 20.0
_MEMORY: Final = re.compile(
    r"enough space|Could not allocate|insufficient memory|Cannot allocate memory"
)


@dataclass(frozen=True, slots=True)
class Java:
    """A Java program and its major version."""

    program: str
    version: int


@dataclass(frozen=True, slots=True)
class NoJava:
    """The reason why there is no Java to run Kafka with.

    Attributes:
        reason: one line with the reason for each Java that was tried.
        remedy: the step that solves it.
    """

    reason: str
    remedy: str


async def find_java() -> Java | NoJava:
    """Return the first Java that is recent enough: JAVA_HOME's, the PATH's, then Maven's own.

    Maven's own matters on macOS, where Homebrew's Java is on no PATH.
    """
    reasons: dict[str, str] = {}
    async for program in _candidates():
        if _real(program) in reasons:
            continue
        # with as little memory as the broker's Java, and no file about a crash left behind
        options = (*SMALL, "-Xmx64m", "-XX:ErrorFile=/dev/null", "-version")
        finished = await run_program(program, *options, limit=_LIMIT)
        version = _VERSION.search(finished.errors + finished.output)
        if finished.ok and version and int(version[1]) >= OLDEST:
            return Java(program, int(version[1]))
        if finished.ok and version:
            reason = f"{program} is Java {version[1]}"
        else:
            reason = f"{program} cannot be started: {_first_error(program, finished)}"
        reasons[_real(program)] = reason
    return _no_java(list(reasons.values()))


def _real(program: str) -> str:
    """Return the real path of a program, which often has several names."""
    return os.path.realpath(program)


def _no_java(reasons: list[str]) -> NoJava:
    if not reasons:
        return NoJava(f"there is no Java {OLDEST} or later", INSTALL)
    reason = "; ".join(reasons)
    if _MEMORY.search(reason):
        remedy = "give it more memory (`ulimit -v`, or the limit of the container or service)"
    elif "cannot be started" in reason:
        remedy = f"mend that, or {INSTALL}"
    else:
        remedy = INSTALL
    return NoJava(f"there is no Java {OLDEST} or later that runs: {reason}", remedy)


def _first_error(program: str, finished: Finished) -> str:
    """Pick the first line that Java prints, with the line that gives the cause."""
    lines = [line.strip(" #") for line in (finished.errors + finished.output).splitlines()]
    # its warnings begin with a time in brackets
    messages = [line for line in lines if line and not line.startswith("[")]
    if not messages:
        return f"it ended with {finished.code} and said nothing"
    error = messages[0].removeprefix(f"{program}: ")
    if error.startswith("Error occurred during initialization") and len(messages) > 1:
        error = f"{error}: {messages[1]}"
    return error.rstrip(".")


async def _candidates() -> AsyncIterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield str(Path(home) / "bin" / "java")
    # also one that may not be executed: that is worth a word
    for folder in os.get_exec_path():
        if (program := Path(folder) / "java").is_file():
            yield str(program)
    maven = shutil.which("mvn")
    if maven:
        finished = await run_program(maven, "-v", limit=_LIMIT)
        runtime = _MAVEN_RUNTIME.search(finished.output)
        if runtime:
            yield str(Path(runtime[1].strip()) / "bin" / "java")
