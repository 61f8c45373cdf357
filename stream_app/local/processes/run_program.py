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
class ProgramResult:
    """The result of a program that has ended, or could not be run.

    Attributes:
        code: exit code; None if it could not be run or took too long.
        output: its standard output.
        errors: its standard error, or the reason why there is no exit code.
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
) -> ProgramResult:
    """Run a program to its end, for at most `limit` seconds; its failure raises no error.

    Args:
        command: program and arguments.
        limit: seconds.
        environment: all variables of the program; None for those of this process.
        folder: its working folder; None for that of this process.
        umask: rights that are removed from files it makes; -1 for the umask of this process.
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
        return ProgramResult(None, errors=f"{command[0]}: {error.strerror}")
    try:
        async with asyncio.timeout(limit):
            output, errors = await process.communicate()
    except TimeoutError:
        return ProgramResult(None, errors=f"{command[0]}: no end within {limit:g} s")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return ProgramResult(
        process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")
    )
