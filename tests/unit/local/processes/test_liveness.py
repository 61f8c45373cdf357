from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stream_app.local.kafka.readiness import answers_kafka
from stream_app.local.processes.liveness import FailedProbes, answers_http, is_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 2**22 + 1
"""A process id that no process has: it is above the largest one."""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process
    process.kill()
    process.wait()


def probe(failed: FailedProbes, *answers: bool, pid: int = NOBODY) -> int:
    for answered in answers:
        failed.add(pid, answered=answered)
    return failed.count


def test_only_failed_probes_in_a_row_count() -> None:
    failed = FailedProbes()
    assert probe(failed, True, False, False) == 2
    assert probe(failed, True) == 0
    assert probe(failed, False, False, False) == 3


def test_a_process_has_failed_one_probe_after_the_machine_was_asleep() -> None:
    # the probe that waited when the machine fell asleep fails; the next one is answered
    assert probe(FailedProbes(), True, False, True) == 0


def test_the_count_begins_again_with_another_process() -> None:
    failed = FailedProbes()
    probe(failed, True, False, False)
    assert probe(failed, False, pid=NOBODY + 1) == 0, "it is still starting"
    failed.add(None, answered=False)
    assert failed.count == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows that a process is stopped")
def test_a_process_that_is_stopped_before_its_first_answer_counts(
    process: subprocess.Popen[bytes],
) -> None:
    failed = FailedProbes()
    assert probe(failed, False, pid=process.pid) == 0
    process.send_signal(signal.SIGSTOP)
    while not is_stopped(process.pid):
        os.sched_yield()
    assert probe(failed, False, False, pid=process.pid) == 2


def test_a_probe_that_could_not_be_sent_does_not_count() -> None:
    failed = FailedProbes()
    assert probe(failed, True, False) == 1
    failed.add(NOBODY, answered=None)
    assert failed.count == 1


async def test_without_file_descriptors_no_probe_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "__init__", refused)
    assert await answers_http("http://127.0.0.1:9/healthz", 60) is None
    assert await answers_kafka("127.0.0.1:9", 60) is None


def test_a_process_in_a_debugger_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = FailedProbes()
    probe(failed, True)
    held = "stream_app.local.processes.liveness.is_held_by_debugger"
    monkeypatch.setattr(held, lambda _pid: True)
    assert probe(failed, False, False, False) == 0
    monkeypatch.setattr(held, lambda _pid: False)
    assert probe(failed, False, False) == 2, "the debugger is detached"


async def serve(answer: bytes | None) -> tuple[asyncio.Server, str]:
    """Start a server that gives this answer to any request, or none; return its HOST:PORT too."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is not None:
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    return server, f"{host}:{port}"


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"503 Service Unavailable"])
async def test_any_answer_over_http_is_a_sign_of_life(status: bytes) -> None:
    server, address = await serve(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
    async with server:
        assert await answers_http(f"http://{address}/healthz", 60)


async def test_a_late_answer_and_a_closed_port_are_no_signs_of_life() -> None:
    server, address = await serve(None)
    assert not await answers_http(f"http://{address}/healthz", 0.01)
    assert not await answers_kafka(address, 0.01)
    # newer versions of Python would also wait for the connections, which may never end
    server.close()
    assert not await answers_http(f"http://{address}/healthz", 60)
    assert not await answers_kafka(address, 60)


@pytest.mark.parametrize(
    ("answer", "is_alive"),
    [
        (b"\0\0\0\x0alive\0\0\0\0\0\0", True),
        (b"\0\0\0\x0adead\0\0\0\0\0\0", False),
        (b"", False),
    ],
)
async def test_an_answer_in_kafkas_protocol_is_a_sign_of_life(
    answer: bytes, is_alive: bool
) -> None:
    server, address = await serve(answer)
    async with server:
        assert await answers_kafka(address, 60) is is_alive
