"""Find a Java that can run Kafka."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stream_app.processes.program import run_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OLDEST: Final = 17
"""The oldest Java that Kafka 4 runs on."""

_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')
_MAVEN_RUNTIME: Final = re.compile(r"runtime: (.+)$", re.MULTILINE)
_LIMIT: Final = 20.0


@dataclass(frozen=True, slots=True)
class Java:
    """A Java program and its major version."""

    program: str
    version: int


async def find_java() -> Java | None:
    """The first Java that is recent enough: JAVA_HOME's, the PATH's, then Maven's own.

    Maven's own matters on macOS, where Homebrew's Java is on no PATH.
    """
    async for program in _candidates():
        finished = await run_program(program, "-version", limit=_LIMIT)
        version = _VERSION.search(finished.errors + finished.output)
        if finished.ok and version and int(version[1]) >= OLDEST:
            return Java(program, int(version[1]))
    return None


async def _candidates() -> AsyncIterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield str(Path(home) / "bin" / "java")
    on_path = shutil.which("java")
    if on_path:
        yield on_path
    maven = shutil.which("mvn")
    if maven:
        finished = await run_program(maven, "-v", limit=_LIMIT)
        runtime = _MAVEN_RUNTIME.search(finished.output)
        if runtime:
            yield str(Path(runtime[1].strip()) / "bin" / "java")
