from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from stream_app.data_dir import RUN_LOCK
from stream_app.errors import PrerequisiteError
from stream_app.local.processes import log_file as logfile
from stream_app.local.processes.environment import environment_of
from stream_app.local.processes.file_lock import locked
from stream_app.local.processes.files import make_folder, make_private, write_whole
from stream_app.local.processes.logged_process import spawn
from stream_app.local.processes.ports import free_ports, is_free, require_free
from stream_app.local.processes.process_identity import command_line, runs_with_argument
from stream_app.local.processes.run_program import run_program
from stream_app.local.processes.signals import run_until_signalled
from stream_app.local.run_file import RunFile, running_stack_of
from stream_app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PrerequisiteError, match=rf"listen on 127.0.0.1:{port} \(.*in use"):
            require_free("127.0.0.1", port, "choose another")
    assert is_free(port)


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(PrerequisiteError, match=r"cannot listen on 192.0.2.1:8000 \(.*\): choose"):
        require_free("192.0.2.1", 8000, "choose another")


def test_free_ports_differ_and_leave_out_the_excluded_ones() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not set(free_ports(50, set(ports))) & set(ports)


def test_a_process_is_known_by_its_arguments() -> None:
    marker = command_line(os.getpid())[-1]
    assert runs_with_argument(os.getpid(), marker)
    assert not runs_with_argument(os.getpid(), "no such argument")
    assert not runs_with_argument(None, marker)
    assert not runs_with_argument(2**22 + 1, marker), "above the largest process id"


def test_the_last_error_is_found_in_a_log_that_was_rotated_since(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ERROR of an earlier start\n")
    began = logfile.end_position(log)
    with log.open("a") as file:
        file.write("ERROR no port\n")
    log.rename(tmp_path / "log.1")
    log.write_text("stopped\n")
    assert logfile.find_error_line(log, since=[began]) == "ERROR no port"
    assert logfile.find_error_line(log, since=[logfile.end_position(log)]) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("one\ntwo\n", "two"),
        ("two\n\x1b[?25h\n", "two"),
        ("ERROR no port\nstopped\n", "ERROR no port"),
        (
            "Error occurred during initialization of VM\nCould not reserve enough space for heap\n",
            "Could not reserve enough space for heap",
        ),
        (
            "Terminating due to java.lang.OutOfMemoryError: Java heap space\nbye\n",
            "Terminating due to java.lang.OutOfMemoryError: Java heap space",
        ),
        ("java.io.IOException: disk full\n\tat a.b.C\n\nbye\n", "java.io.IOException: disk full"),
    ],
)
def test_the_line_with_the_error_of_a_log_is_found(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(text)
    assert logfile.find_error_line(tmp_path / "log", tmp_path / "missing") == words


def test_an_error_of_the_system_is_preferred_to_later_errors(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "ERROR Error while appending records to store-status-3\n"
        "java.io.IOException: No space left on device\n"
        "\tat java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)\n"
        # Kafka names all its partitions, several times
        + "WARN Stopping serving replicas "
        + "store-status-3," * 4000
        + "\n"
        "ERROR Shutdown broker because all log dirs have failed\n"
    )
    assert (
        logfile.find_error_line(tmp_path / "log") == "java.io.IOException: No space left on device"
    )


def test_a_long_line_keeps_its_end(tmp_path: Path) -> None:
    beginning, end = "ERROR the database of partition 0 fails", "No space left on device"
    (tmp_path / "log").write_text(f"{beginning}: {'folder/' * 100}: {end}\n")
    words = logfile.find_error_line(tmp_path / "log")
    assert len(words) <= 240
    assert words.startswith(beginning)
    assert words.endswith(end)


def test_a_child_reads_the_settings_of_its_parent(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "STORE_UPTIME_KAFKA_BOOTSTRAP": "a:1,b:2",
            "STORE_UPTIME_DATA_DIR": str(tmp_path / "with blanks"),
            "STORE_UPTIME_REPORT_DEADLINE": "1m30s",
            "STORE_UPTIME_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "STORE_UPTIME_KAFKA_SASL_USERNAME": "user",
            "STORE_UPTIME_KAFKA_SASL_PASSWORD": "secret",
            "STORE_UPTIME_KAFKA_TLS_CA_FILE": "/ca.pem",
        }
    )
    settings = settings.replace(partitions=3, api_port=0)
    variables = environment_of(settings, {"PATH": "/bin", "STORE_UPTIME_PARTITIONS": "5"})
    assert variables["PATH"] == "/bin"
    assert Settings.from_environment(variables) == settings


async def test_a_program_is_run_to_its_end() -> None:
    finished = await run_program("sh", "-c", "echo out; echo err >&2; exit 3", limit=60)
    assert (finished.code, finished.output, finished.errors) == (3, "out\n", "err\n")
    assert not finished.ok


async def test_a_program_that_is_missing_or_too_slow_has_no_exit_code() -> None:
    assert (await run_program("/nowhere", limit=60)).errors == "/nowhere: No such file or directory"
    slow = await run_program("sleep", "600", limit=0.01)
    assert (slow.code, slow.errors) == (None, "sleep: no end within 0.01 s")


async def test_the_first_signal_ends_the_work_and_later_ones_let_it_clean_up() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(600)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.01)
            cleaned = True

    assert await run_until_signalled(work())
    assert cleaned


async def test_work_that_ends_by_itself_was_not_signalled() -> None:
    async def work() -> None:
        pass

    assert not await run_until_signalled(work())


async def test_a_run_file_left_by_a_crash_is_not_believed(tmp_path: Path) -> None:
    run = RunFile(4711, "http://127.0.0.1:8000", "127.0.0.1:9092")
    run.save(tmp_path)
    assert running_stack_of(tmp_path) is None
    async with locked(tmp_path / RUN_LOCK, limit=0, busy="unused"):
        assert running_stack_of(tmp_path) == run


def modes(folder: Path) -> dict[str, str]:
    return {path.name: f"{path.stat().st_mode & 0o777:o}" for path in [folder, *folder.iterdir()]}


def test_only_this_user_can_read_a_new_data_folder(tmp_path: Path) -> None:
    lines: list[str] = []
    folder = make_private(tmp_path / "deep" / "data", lines.append)
    write_whole(folder / "run.json", "{}")
    make_folder(folder / "kafka" / "node-1")
    assert modes(folder) == {"data": "700", "run.json": "600", "kafka": "700"}
    assert modes(folder.parent)["deep"] == "700"
    assert lines == []


def test_a_data_folder_that_others_can_read_is_restricted_with_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "kafka").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    for path in (folder, folder / "kafka"):
        path.chmod(0o755)
    lines: list[str] = []
    make_private(folder, lines.append)
    assert modes(folder) == {"data": "700", "kafka": "700", "run.json": "600"}
    assert lines == [f"others could read {folder} and what is in it: from now on only you can"]
    make_private(folder, lines.append)
    assert len(lines) == 1, "only once"


def test_only_the_products_files_of_a_shared_folder_are_restricted(tmp_path: Path) -> None:
    for name in ("photos", "kafka"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    tmp_path.chmod(0o755)
    lines: list[str] = []
    make_private(tmp_path, lines.append)
    assert modes(tmp_path) == {tmp_path.name: "755", "photos": "755", "kafka": "700"}
    assert lines[0].startswith(f"others could read {tmp_path / 'kafka'}: ")
    assert lines[1].startswith(f"the folder {tmp_path} holds other things too")


def test_only_this_user_can_read_the_files_of_a_child(tmp_path: Path) -> None:
    process = spawn(["touch", str(tmp_path / "made")], log=tmp_path / "log", tied=False)
    while process.poll() is None:
        os.sched_yield()
    assert modes(tmp_path)["made"] == modes(tmp_path)["log"] == "600"


def test_a_full_disk_of_the_log_is_part_of_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").write_text("INFO half a line abou")
    full = SimpleNamespace(f_bavail=3, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert logfile.find_error_line(tmp_path / "log") == (
        "INFO half a line abou (the disk of its log is full)"
    )
    (tmp_path / "log").write_text("java.io.IOException: No space left on device")
    assert (
        logfile.find_error_line(tmp_path / "log") == "java.io.IOException: No space left on device"
    )


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "run.json", "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(PrerequisiteError, match=r"cannot write .*run\.json: No space left"):
        write_whole(tmp_path / "run.json", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"run.json": "old"}


def test_a_file_in_place_of_the_data_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrerequisiteError, match=r"cannot create the folder .*file: there is a"):
        make_private(tmp_path / "file", print)
    with pytest.raises(PrerequisiteError, match=r"cannot create the folder .*x: Not a directory"):
        make_private(tmp_path / "file" / "x", print)
    with pytest.raises(PrerequisiteError, match="File name too long"):
        make_private(tmp_path / ("x" * 300), print)
