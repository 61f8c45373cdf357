"""A worker that must end logs one line that says why, and ends in time, whatever hangs."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any, Final

import pytest
from aiokafka.errors import ProducerFenced

from stream_app.errors import TableError
from stream_app.worker import shutdown as ending
from stream_app.worker.shutdown import FatalErrorHandler
from tests.agent_fakes import settle
from tests.sample import ROOT


class App:
    """An app of Faust that records its crashes."""

    def __init__(self) -> None:
        self.crashes: list[BaseException] = []

    async def crash(self, error: BaseException) -> None:
        self.crashes.append(error)


@pytest.fixture(autouse=True)
def _restored_log_levels() -> Any:
    levels = {name: logging.getLogger(name).level for name in ending._LIBRARIES}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TableError("the disk is full"), "this worker ends: the disk is full"),
        (ProducerFenced(), "this worker ends: another worker has taken over its partitions"),
    ],
)
async def test_an_expected_error_is_one_line(
    error: BaseException, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    fail = FatalErrorHandler(app)
    assert not fail.triggered

    fail(error)
    fail(RuntimeError("that follows from it"))
    await settle()

    (record,) = caplog.records
    assert record.getMessage().startswith(line)
    assert record.exc_info is None
    assert app.crashes[0] is error
    assert fail.triggered


async def test_an_unexpected_error_has_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    FatalErrorHandler(App())(ZeroDivisionError("division by zero"))
    await settle()

    (record,) = caplog.records
    assert record.getMessage() == "this worker ends: ZeroDivisionError: division by zero"
    assert record.exc_info is not None


async def test_the_libraries_log_nothing_more() -> None:
    FatalErrorHandler(App())(TableError("the disk is full"))
    await settle()

    assert not logging.getLogger("faust").isEnabledFor(logging.CRITICAL)
    assert logging.getLogger("stream_app").isEnabledFor(logging.ERROR)


# -- in a process of its own, which must end

HANGS_SECONDS: Final = 60
"""Seconds after which the test of a process that does not end fails."""

BEGINNING: Final = "from stream_app.worker.shutdown import ExitWatchdog; end = ExitWatchdog()"

PROGRAMS: Final = {
    # ctypes.PyDLL holds the lock of the interpreter during the whole call
    "a native call that holds the lock": (
        "import ctypes; end.arm(0.1); ctypes.PyDLL(None).sleep(3600)",
        1,
    ),
    "a wait without an end": ("import threading; end.arm(0.1); threading.Event().wait()", 1),
    "an exit handler": (
        "import atexit, threading; atexit.register(threading.Event().wait); end.arm(0.1)",
        1,
    ),
    "a second, longer time": (
        "import threading; end.arm(0.1); end.arm(3600); threading.Event().wait()",
        1,
    ),
    "nothing": ("end.arm(3600)", 0),
    # the interpreter closes unfinished coroutines at its end, and they may arm the watchdog again
    "the interpreter's own end": (
        "def left_over():\n"
        "    try:\n"
        "        yield\n"
        "    finally:\n"
        "        end.arm(3600)\n"
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
