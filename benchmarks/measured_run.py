"""Runs a program to its end and measures its resources, as the kernel counts them (Linux)."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.errors import BenchmarkError
from benchmarks.processes import resident_megabytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BLOCK_BYTES: Final = 512
"""The unit of `ru_oublock`."""

_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a program used.

    Attributes:
        seconds: time from its start to its end.
        cpu: CPU seconds, user and system, of it and of the children that it waited for.
        peak_megabytes: the most resident memory that it had, without its children.
        written_bytes: bytes that it and those children gave to the disk.
    """

    seconds: float
    cpu: float
    peak_megabytes: float
    written_bytes: float

    def figures(self) -> dict[str, float]:
        """Return the parts that every peer reports."""
        return {
            "cpu": self.cpu,
            "peak_megabytes": self.peak_megabytes,
            "written_bytes": self.written_bytes,
        }


def usage_of_this_process() -> Usage:
    """Return the resources that this process has used so far, without its children."""
    taken = resource.getrusage(resource.RUSAGE_SELF)
    peak = resident_megabytes(os.getpid())[1]
    cpu = taken.ru_utime + taken.ru_stime
    return Usage(cpu, cpu, peak, float(taken.ru_oublock * BLOCK_BYTES))


def run_measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run a program to its end; its output goes where ours goes.

    Args:
        command: the program and its arguments.
        environment: its environment variables; None for those of this process.

    Raises:
        BenchmarkError: it failed; the message has its exit code.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=environment)  # noqa: S603  a program of the benchmarks
    peak = 0.0
    try:
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            # not ru_maxrss: the kernel counts the memory of the parent at the start in it
            with suppress(OSError, ValueError):
                peak = max(peak, resident_megabytes(process.pid)[1])
            time.sleep(_LOOK_SECONDS)
    except BaseException:
        process.kill()
        process.wait()
        raise
    seconds = time.perf_counter() - begin
    _, status, taken = ended
    # the process is waited for: tell its object, which would look for it again
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"{Path(command[0]).name} ended with {process.returncode}")
    return Usage(
        seconds,
        taken.ru_utime + taken.ru_stime,
        peak,
        float(taken.ru_oublock * BLOCK_BYTES),
    )
