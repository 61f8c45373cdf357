from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from stream_app.errors import PrerequisiteError
from stream_app.local.processes.child import ChildProcess
from stream_app.local.processes.log_writer import MAX_LOG_BYTES
from stream_app.local.processes.logged_process import spawn
from stream_app.local.processes.process_identity import command_line

if TYPE_CHECKING:
    from pathlib import Path

WAITS = "import signal; print('up', flush=True); signal.pause()"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"

LAUNCHER = """
import asyncio, pathlib, signal, sys
from stream_app.local.processes.child import ChildProcess
log_dir, code = pathlib.Path(sys.argv[1]), sys.argv[2]
child = ChildProcess("child", [sys.executable, "-c", code], log_dir=log_dir)
asyncio.run(child.start())
print(child.pid, flush=True)
signal.pause()
"""


def python(name: str, code: str, tmp_path: Path, stop_limit: float = 60.0) -> ChildProcess:
    command = [sys.executable, "-c", code]
    return ChildProcess(name, command, log_dir=tmp_path, stop_limit=stop_limit)


async def log_has(child: ChildProcess, text: str) -> None:
    while text not in child.log.read_text():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)


async def gone(pid: int) -> None:
    while command_line(pid):  # noqa: ASYNC110 - there is no event for the end of a process that is not a child
        await asyncio.sleep(0.01)


async def test_a_child_has_its_output_in_the_log_and_an_exit_code(tmp_path: Path) -> None:
    child = python("fails", "print('before'); raise ValueError('the reason')", tmp_path)
    await child.start()
    assert await child.wait() == 1
    assert child.pid is None
    assert child.log.read_text().startswith("before\n")
    assert child.last_error_line() == "ValueError: the reason"


async def test_the_log_is_appended_and_quoted_from_the_last_start_only(tmp_path: Path) -> None:
    child = python("says", "print('ERROR one')", tmp_path)
    await child.start()
    await child.wait()
    second = python("says", "print('two')", tmp_path)
    await second.start()
    await second.wait()
    assert second.log.read_text() == "ERROR one\ntwo\n"
    assert second.last_error_line() == "two"


async def test_a_child_ends_on_sigterm(tmp_path: Path) -> None:
    child = python("waits", WAITS, tmp_path)
    await child.start()
    await log_has(child, "up")
    await child.stop()
    assert await child.wait() == -signal.SIGTERM
    await child.stop()


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    child = python("stays", IGNORES_SIGTERM, tmp_path, stop_limit=0.05)
    await child.start()
    await log_has(child, "up")
    await child.stop()
    assert await child.wait() == -signal.SIGKILL


async def test_a_paused_child_still_ends_on_sigterm(tmp_path: Path) -> None:
    child = python("paused", WAITS, tmp_path)
    await child.start()
    await log_has(child, "up")
    assert child.pid
    os.kill(child.pid, signal.SIGSTOP)
    await child.stop()
    assert await child.wait() == -signal.SIGTERM


async def test_a_child_has_its_own_session(tmp_path: Path) -> None:
    child = python("session", "import os; print(os.getsid(0) == os.getpid())", tmp_path)
    await child.start()
    await child.wait()
    assert child.log.read_text() == "True\n"


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    child = ChildProcess("none", ["/nowhere/program"], log_dir=tmp_path)
    await child.start()
    assert await child.wait() == 1
    assert child.last_error_line() == "/nowhere/program: No such file or directory"
    with pytest.raises(PrerequisiteError, match="cannot start /nowhere/program: No such file"):
        spawn(["/nowhere/program"], log=tmp_path / "log", tied=False)


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux signals the end of a parent to its child"
)
async def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    launcher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LAUNCHER, tmp_path, IGNORES_SIGTERM, stdout=asyncio.subprocess.PIPE
    )
    assert launcher.stdout
    pid = int(await launcher.stdout.readline())
    os.kill(pid, 0)  # raises if there is no such process
    launcher.kill()
    await launcher.wait()
    await gone(pid)


def test_a_tied_start_outside_the_main_thread_is_refused(tmp_path: Path) -> None:
    refusals: list[str] = []

    def start() -> None:
        try:
            spawn([sys.executable, "-c", ""], log=tmp_path / "log")
        except RuntimeError as error:
            refusals.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert refusals == ["a tied child must be started from the main thread"]


FLOODS = """
import itertools, signal, sys
for number in range(400_000):
    print(f"line {number} of a flood that is longer than every log together may become")
print("up", flush=True)
signal.pause()
"""


def sizes_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


async def test_the_log_of_a_child_that_floods_is_bounded_while_it_runs(tmp_path: Path) -> None:
    child = python("floods", FLOODS, tmp_path)
    await child.start()
    await log_has(child, "up\n")
    sizes = sizes_of(tmp_path)
    assert sorted(sizes) == ["floods.log", "floods.log.1", "floods.log.2"]
    assert max(sizes.values()) <= MAX_LOG_BYTES
    await child.stop()


PRINTS_A_FILE = """
import sys
print("up", flush=True)
for line in open(sys.argv[1]):
    print(line, end="", flush=True)
"""


async def child_without_a_log_writer(tmp_path: Path, fifo: Path) -> ChildProcess:
    """Start a child that prints what it reads from a named pipe, and kill its log writer."""
    os.mkfifo(fifo)
    command = [sys.executable, "-c", PRINTS_A_FILE, str(fifo)]
    child = ChildProcess("prints", command, log_dir=tmp_path)
    await child.start()
    await log_has(child, "up")
    assert child._process
    child._process._writer.kill()
    child._process._writer.wait()
    return child


async def test_a_log_writer_that_is_killed_is_replaced_and_the_child_goes_on(
    tmp_path: Path,
) -> None:
    fifo = tmp_path / "fifo"
    child = await child_without_a_log_writer(tmp_path, fifo)
    ending = asyncio.create_task(child.wait())
    with fifo.open("w") as pipe:
        pipe.write("one\n" * 2)
        pipe.flush()
        await log_has(child, "one")
        pipe.write("ERROR the end\n")
    assert await ending == 0
    assert child.log.read_text().splitlines()[:3] == ["up", "one", "ERROR the end"]
    assert child.last_error_line() == "ERROR the end"


async def test_a_child_that_ends_before_its_killed_log_writer_is_noticed_loses_no_line(
    tmp_path: Path,
) -> None:
    fifo = tmp_path / "fifo"
    child = await child_without_a_log_writer(tmp_path, fifo)
    assert child._process
    pid = child._process.pid  # `child.pid` would replace the log writer
    with fifo.open("w") as pipe:
        pipe.write("one\nERROR the end\n")
    await gone(pid)
    assert await child.wait() == 0
    assert child.log.read_text().splitlines() == ["up", "one", "ERROR the end"]


CLOSES_ITS_OUTPUT = "import os, signal; os.close(1); os.close(2); signal.pause()"


async def test_a_child_that_closes_its_output_needs_no_further_log_writer(tmp_path: Path) -> None:
    child = python("closes", CLOSES_ITS_OUTPUT, tmp_path)
    await child.start()
    assert child._process
    writer = child._process._writer
    while writer.poll() is None:  # noqa: ASYNC110 - as in `ChildProcess.wait`
        await asyncio.sleep(0.01)
    assert child.pid is not None
    assert child._process._writer is writer
    await child.stop()


UNTIED = """
import pathlib, sys
from stream_app.local.processes.logged_process import spawn
process = spawn([sys.executable, "-c", sys.argv[2]], log=pathlib.Path(sys.argv[1]), tied=False)
print(process.pid, flush=True)
import signal
signal.pause()
"""

PRINTS_A_LOT = """
import sys, time
for number in range(100_000):
    print(f"line {number} of more than the pipe holds", flush=True)
print("done", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_parent_that_is_killed_or_stopped_blocks_no_child(
    number: int, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UNTIED, log, PRINTS_A_LOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    pid = int(await parent.stdout.readline())
    os.kill(parent.pid, number)
    while "done" not in log.read_text():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
    if number == signal.SIGSTOP:
        parent.kill()
    await parent.wait()
    await gone(pid)
