"""Runs a program to its end and measures its resources from the counts of the kernel (Linux)."""

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

_POLL_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a program used.

    Attributes:
        seconds: time from its start to its end.
        cpu: CPU seconds, user and system, of it and of the children that it waited for.
        peak_megabytes: its largest resident memory, without its children.
        written_bytes: bytes that it and those children wrote to the disk.
    """

    seconds: float
    cpu: float
    peak_megabytes: float
    written_bytes: float

    def figures(self) -> dict[str, float]:
        """Return the figures that every peer reports."""
        return {
            "cpu": self.cpu,
            "peak_megabytes": self.peak_megabytes,
            "written_bytes": self.written_bytes,
        }


def usage_of_this_process() -> Usage:
    """Return the resources that this process has used so far, without its children."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak = resident_megabytes(os.getpid())[1]
    cpu = usage.ru_utime + usage.ru_stime
    return Usage(cpu, cpu, peak, float(usage.ru_oublock * BLOCK_BYTES))


def run_measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run a program to its end; it has the output of this process.

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
            # not ru_maxrss: it also counts the memory of this process at the start
            with suppress(OSError, ValueError):
                peak = max(peak, resident_megabytes(process.pid)[1])
            time.sleep(_POLL_SECONDS)
    except BaseException:
        process.kill()
        process.wait()
        raise
    seconds = time.perf_counter() - begin
    _, status, usage = ended
    # wait4 has already waited, so Popen must not wait again
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"{Path(command[0]).name} ended with {process.returncode}")
    return Usage(
        seconds,
        usage.ru_utime + usage.ru_stime,
        peak,
        float(usage.ru_oublock * BLOCK_BYTES),
    )
