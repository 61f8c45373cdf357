"""How a worker ends, whatever hangs: each in a process of its own, that must not stay."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from tests.sample import ROOT

HANGS_SECONDS: Final = 60
"""What a process that stays is given up after; one that ends takes no notice of it."""

BEGINNING: Final = "from stream_app.ending import LastResort; end = LastResort()"

PROGRAMS: Final = {
    # ctypes.PyDLL keeps the interpreter's lock for the whole call
    "a native call that holds the lock": (
        "import ctypes; end.within(0.1); ctypes.PyDLL(None).sleep(3600)",
        1,
    ),
    "a wait without an end": ("import threading; end.within(0.1); threading.Event().wait()", 1),
    "an exit handler": (
        "import atexit, threading; atexit.register(threading.Event().wait); end.within(0.1)",
        1,
    ),
    "a second, longer time": (
        "import threading; end.within(0.1); end.within(3600); threading.Event().wait()",
        1,
    ),
    "nothing": ("end.within(3600)", 0),
    # coroutines that are left over are closed when the interpreter shuts down, and end us again
    "the interpreter's own end": (
        "def left_over():\n"
        "    try:\n"
        "        yield\n"
        "    finally:\n"
        "        end.within(3600)\n"
        "part = [left_over()]\n"
        "next(part[0])\n"
        "part.append(part)\n",
        0,
    ),
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_process_ends_whatever_hangs(what: str) -> None:
    program, code = PROGRAMS[what]
    ended = subprocess.run(
        [sys.executable, "-c", f"{BEGINNING}\n{program}"],
        cwd=ROOT,
        timeout=HANGS_SECONDS,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (code, b"")
