"""Runs a program to its end and reads what it prints."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a program.

    Attributes:
        code: exit code; None where it could not be run or took too long.
        output: its standard output.
        errors: its standard error, or why there is no exit code.
    """

    code: int | None
    output: str = ""
    errors: str = ""

    @property
    def ok(self) -> bool:
        """Return True if it ended with exit code 0."""
        return self.code == 0


async def run_program(
    *command: str,
    limit: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    umask: int = -1,
) -> Finished:
    """Run to the end, at most `limit` seconds; never raises for what the program does.

    Args:
        command: program and arguments.
        limit: seconds.
        environment: all its variables; None for those of this process.
        folder: its working folder; None for those of this process.
        umask: rights that files it makes do not have; -1: ours.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd=folder,
            umask=umask,
        )
    except OSError as error:
        return Finished(None, errors=f"{command[0]}: {error.strerror}")
    try:
        async with asyncio.timeout(limit):
            output, errors = await process.communicate()
    except TimeoutError:
        return Finished(None, errors=f"{command[0]}: no end within {limit:g} s")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Finished(
        process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")
    )
