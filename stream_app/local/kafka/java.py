"""Finds a Java that can run Kafka, or the reasons why no Java on this machine can."""

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

    from stream_app.local.processes.run_program import ProgramResult

OLDEST_JAVA: Final = 17
"""The oldest Java that Kafka 4 runs on."""

SMALL_JVM_OPTIONS: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Options of every Java process, with which it needs less memory and starts sooner."""

_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')
_MAVEN_RUNTIME: Final = re.compile(r"runtime: (.+)$", re.MULTILINE)
_LIMIT: Final = 20.0
_MEMORY_ERROR: Final = re.compile(
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
        if _real_path(program) in reasons:
            continue
        # the options of the broker's Java, with a small heap, and without a file about a crash
        options = (*SMALL_JVM_OPTIONS, "-Xmx64m", "-XX:ErrorFile=/dev/null", "-version")
        finished = await run_program(program, *options, limit=_LIMIT)
        version = _VERSION.search(finished.errors + finished.output)
        if finished.ok and version and int(version[1]) >= OLDEST_JAVA:
            return Java(program, int(version[1]))
        if finished.ok and version:
            reason = f"{program} is Java {version[1]}"
        else:
            reason = f"{program} cannot be started: {_first_error(program, finished)}"
        reasons[_real_path(program)] = reason
    return _no_java(list(reasons.values()))


def _real_path(program: str) -> str:
    """Return the path of a program without symbolic links, since a Java often has several names."""
    return os.path.realpath(program)


def _no_java(reasons: list[str]) -> NoJava:
    if not reasons:
        return NoJava(f"there is no Java {OLDEST_JAVA} or later", INSTALL)
    reason = "; ".join(reasons)
    if _MEMORY_ERROR.search(reason):
        remedy = "give it more memory (`ulimit -v`, or the limit of the container or service)"
    elif "cannot be started" in reason:
        remedy = f"mend that, or {INSTALL}"
    else:
        remedy = INSTALL
    return NoJava(f"there is no Java {OLDEST_JAVA} or later that runs: {reason}", remedy)


def _first_error(program: str, finished: ProgramResult) -> str:
    """Return the first line that Java prints, with the second one if that has the cause."""
    lines = [line.strip(" #") for line in (finished.errors + finished.output).splitlines()]
    # lines with Java's warnings begin with a time in brackets
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
    # not `shutil.which`: the error must also name a Java that may not be executed
    for folder in os.get_exec_path():
        if (program := Path(folder) / "java").is_file():
            yield str(program)
    maven = shutil.which("mvn")
    if maven:
        finished = await run_program(maven, "-v", limit=_LIMIT)
        runtime = _MAVEN_RUNTIME.search(finished.output)
        if runtime:
            yield str(Path(runtime[1].strip()) / "bin" / "java")
