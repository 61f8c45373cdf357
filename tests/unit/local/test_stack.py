from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.local import stack
from stream_app.local.kafka.broker import StartedBroker
from stream_app.local.processes.child import ChildProcess
from stream_app.local.processes.liveness import Liveness
from stream_app.local.run_file import api_address, configured_address
from stream_app.local.stack import Programs, Stack, running_stack
from stream_app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import os, signal, sys
name = sys.argv[sys.argv.index("--name") + 1]
def end(*_):
    print(name, "stops", flush=True)
    open(os.environ["STORE_UPTIME_DATA_DIR"] + "/order", "a").write("worker\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print(name, os.environ["STORE_UPTIME_KAFKA_BOOTSTRAP"], flush=True)
while True:
    signal.pause()
"""

API = """
import http.server, os, signal, sys
answers = [503, 200]
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(answers[0] if len(answers) == 1 else answers.pop(0))
        self.end_headers()
def end(*_):
    open(os.environ["STORE_UPTIME_DATA_DIR"] + "/order", "a").write("api\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
address = os.environ["STORE_UPTIME_API_HOST"], int(os.environ["STORE_UPTIME_API_PORT"])
http.server.HTTPServer(address, Ready).serve_forever()
"""

PROGRAMS = Programs(worker=(sys.executable, "-c", WORKER), api=(sys.executable, "-c", API))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings with a named broker, whose topics are not checked."""

    async def no_topics(_: Settings) -> int:
        return 0

    monkeypatch.setattr(stack, "ensure_topics", no_topics)
    return Settings.from_environment(
        {}, data_dir=tmp_path / "data", kafka_bootstrap="kafka.example:9092", api_port=0
    )


async def test_a_stack_is_ready_then_stops_in_order(settings: Settings, tmp_path: Path) -> None:
    lines: list[str] = []
    data = tmp_path / "data"
    async with running_stack(
        settings, workers=2, report=lines.append, programs=PROGRAMS
    ) as running:
        assert running.settings.kafka_bootstrap == "kafka.example:9092"
        assert running.api == f"http://127.0.0.1:{running.settings.api_port}"
        assert api_address(settings) == running.api, "any command with this data dir finds it"
        assert json.loads((data / "run.json").read_text()) == {
            "pid": os.getpid(),
            "api": running.api,
            "bootstrap": "kafka.example:9092",
        }
    assert (data / "order").read_text() == "api\nworker\nworker\n"
    assert (data / "logs" / "worker-2.log").read_text().splitlines() == [
        "worker-2 kafka.example:9092",
        "worker-2 stops",
    ]
    assert not (data / "run.json").exists()
    assert lines[-1] == "stopping"

    async with running_stack(settings, report=lines.append, programs=PROGRAMS):
        pass


async def test_a_second_stack_on_the_data_dir_is_refused(settings: Settings) -> None:
    async with running_stack(settings, report=print, programs=PROGRAMS) as running:
        with pytest.raises(PrerequisiteError) as refusal:
            async with running_stack(settings, report=print, programs=PROGRAMS):
                pytest.fail("two stacks")
        assert str(refusal.value).endswith(f": process {os.getpid()}, {running.api}")
        assert (settings.data_dir / "run.json").exists()


async def test_a_port_in_use_is_an_error_before_anything_is_started(settings: Settings) -> None:
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        busy = settings.replace(api_port=server.getsockname()[1])
        with pytest.raises(PrerequisiteError, match=r"in use.*--api-port"):
            async with running_stack(busy, report=lines.append, programs=PROGRAMS):
                pytest.fail("a stack without its port")
    assert lines == []


async def test_a_process_that_cannot_run_fails_the_start(settings: Settings) -> None:
    broken = replace(PROGRAMS, worker=(sys.executable, "-c", "print('no such option'); exit(2)"))
    with pytest.raises(Exception, match=r"worker-1 ended \(exit code 2\): no such option"):
        async with running_stack(settings, report=print, programs=broken):
            pytest.fail("a stack without its worker")
    assert not (settings.data_dir / "run.json").exists()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 - looked up, not bound
        ("::", "http://[::1]:80"),
        ("uptime.example", "http://uptime.example:80"),
    ],
)
def test_the_address_of_the_api_can_be_reached_from_this_machine(
    host: str, address: str, settings: Settings
) -> None:
    assert configured_address(settings.replace(api_host=host, api_port=80)) == address


async def test_a_process_that_freezes_is_started_again(settings: Settings) -> None:
    lines: list[str] = []
    quick = Liveness(period_seconds=0.05, failure_threshold=3)
    async with running_stack(
        settings, report=lines.append, programs=PROGRAMS, liveness=quick
    ) as running:
        pid = pid_of("api", running)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        while pid_of("api", running) in (None, pid):  # noqa: ASYNC110 - the stack has no event
            await asyncio.sleep(0.01)
    assert any(line.startswith("api runs and has not answered 3 probes") for line in lines)
    assert any(line.startswith("api ended (signal 9); starting it again") for line in lines)
    assert not any(line.startswith("worker-1") for line in lines), (
        "this worker has never answered, and counts as starting"
    )


def pid_of(name: str, running: Stack) -> int | None:
    return next(child.pid for child in running.supervisor.children if child.name == name)


class DiesAtOnce:
    """A broker whose only node ends right after its start."""

    description = "a broker"

    def __init__(self, log_dir: Path) -> None:
        code = "print('ERROR no room for the topics'); exit(1)"
        self._node = ChildProcess("kafka-1", [sys.executable, "-c", code], log_dir=log_dir)

    async def start(self, *, tied: bool) -> StartedBroker:
        assert tied
        await self._node.start()
        return StartedBroker("127.0.0.1:9", 1, already_running=False)

    async def stop(self) -> bool:
        return False

    def supervised(self) -> list[ChildProcess]:
        return [self._node]


async def test_the_reason_of_a_broker_that_ends_before_it_has_topics_is_passed_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def out_of_reach(_: Settings) -> int:
        raise BrokerUnavailableError("no Kafka broker answers")

    async def chosen(*_: object, **__: object) -> DiesAtOnce:
        return DiesAtOnce(tmp_path)

    monkeypatch.setattr(stack, "ensure_topics", out_of_reach)
    monkeypatch.setattr(stack, "choose_broker", chosen)
    with pytest.raises(BrokerUnavailableError, match=r"kafka-1 ended .*: ERROR no room for the"):
        async with running_stack(settings, report=print, programs=PROGRAMS):
            pytest.fail("a stack without its broker")
