from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_app.errors import PrerequisiteError, SettingsError
from stream_app.local.processes.liveness import Liveness
from stream_app.local.processes.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeChild:
    """A child that ends when a test calls `end`, and records its starts and stops in a list."""

    log = Path("/logs/fake.log")

    def __init__(self, name: str, record: list[str]) -> None:
        self.name = name
        self.record = record
        self.starts = 0
        self.refuses = False
        self.pid: int | None = 2**22 + 1  # above the largest process id
        self.answer = True
        self.probes = 0
        self._ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        if self.refuses:
            raise PrerequisiteError("no room")
        self.starts += 1
        self.record.append(f"start {self.name}")
        self.pid = (self.pid or 0) + 1
        self._ended = asyncio.get_running_loop().create_future()

    def has_started(self, times: int) -> bool:
        return self.starts == times

    async def answers(self, _limit: float) -> bool:
        self.probes += 1
        return self.answer

    async def kill(self) -> None:
        self.record.append(f"kill {self.name}")
        self.end(-9)

    async def wait(self) -> int | None:
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        self.record.append(f"stop {self.name}")

    def last_error_line(self) -> str:
        return "the reason"

    def end(self, code: int | None) -> None:
        self._ended.set_result(code)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the supervisor has no event
        await asyncio.sleep(0.001)


@pytest.fixture
def record() -> list[str]:
    return []


async def test_children_stop_in_reverse_order(record: list[str]) -> None:
    supervisor = Supervisor(record.append)
    first, second, third = (FakeChild(name, record) for name in ("a", "b", "c"))
    await supervisor.start(first)
    await supervisor.start(second, third)
    await supervisor.stop()
    assert record == ["start a", "start b", "start c", "stop b", "stop c", "stop a"]


async def test_a_child_that_was_started_elsewhere_is_not_stopped(record: list[str]) -> None:
    supervisor = Supervisor(record.append)
    supervisor.watch(FakeChild("broker", record))
    await supervisor.stop()
    assert record == []


@pytest.mark.parametrize("code", [0, 1, 4, -9, -15, None])
async def test_a_child_that_ends_is_started_again(code: int | None, record: list[str]) -> None:
    supervisor = Supervisor(record.append, first_pause=0.0)
    child = FakeChild("worker-1", record)
    await supervisor.start(child)
    child.end(code)
    await until(lambda: child.starts == 2)
    ending = {
        None: "(its process is gone): the reason",
        -15: "(signal 15): the reason",
        -9: "(signal 9)",
    }.get(code, f"(exit code {code}): the reason")
    assert record[1] == (f"worker-1 ended {ending}; starting it again in 0 s; log: /logs/fake.log")
    await supervisor.stop()


async def test_pauses_double_up_to_the_longest(record: list[str]) -> None:
    supervisor = Supervisor(record.append, first_pause=0.001, longest_pause=0.003)
    child = FakeChild("api", record)
    await supervisor.start(child)
    for starts in range(1, 5):
        child.end(1)
        await until(partial(child.has_started, starts + 1))
    pauses = [line.split("again in ")[1].split(";")[0] for line in record if "again" in line]
    assert pauses == ["0.001 s", "0.002 s", "0.003 s", "0.003 s"]
    await supervisor.stop()


async def test_pauses_begin_again_after_a_long_run(record: list[str]) -> None:
    supervisor = Supervisor(record.append, first_pause=0.001, steady_after=0.0)
    child = FakeChild("api", record)
    await supervisor.start(child)
    for starts in range(1, 4):
        child.end(1)
        await until(partial(child.has_started, starts + 1))
    assert sum("again in 0.001 s" in line for line in record) == 3
    await supervisor.stop()


@pytest.mark.parametrize(("code", "kind"), [(2, SettingsError), (3, PrerequisiteError)])
async def test_an_exit_code_that_cannot_be_retried_fails_the_start(
    code: int, kind: type[Exception], record: list[str]
) -> None:
    supervisor = Supervisor(record.append, first_pause=0.0)
    child = FakeChild("worker-1", record)
    await supervisor.start(child)
    child.end(code)
    with pytest.raises(kind, match=rf"worker-1 ended \(exit code {code}\): the reason; log: "):
        await supervisor.failure()
    await supervisor.stop()
    assert record == ["start worker-1", "stop worker-1"]


async def test_after_the_startup_every_end_leads_to_a_new_start(record: list[str]) -> None:
    supervisor = Supervisor(record.append, first_pause=0.0)
    child = FakeChild("worker-1", record)
    await supervisor.start(child)
    supervisor.startup_complete()
    child.end(2)
    await until(lambda: child.starts == 2)
    child.refuses = True
    child.end(1)
    await until(lambda: "worker-1 cannot be started: no room" in record)
    child.refuses = False
    await until(lambda: child.starts == 3)
    await supervisor.stop()


async def test_a_group_that_starts_in_part_is_still_stopped(record: list[str]) -> None:
    supervisor = Supervisor(record.append)
    first, second = FakeChild("a", record), FakeChild("b", record)
    second.refuses = True
    with pytest.raises(PrerequisiteError, match="no room"):
        await supervisor.start(first, second)
    await supervisor.stop()
    assert record == ["start a", "stop a", "stop b"]


QUICK = Liveness(period_seconds=0.001, failure_threshold=6)


async def test_a_child_that_answers_no_probe_is_killed_and_started_again(
    record: list[str],
) -> None:
    supervisor = Supervisor(record.append, liveness=QUICK, first_pause=0.0)
    child, other = FakeChild("api", record), FakeChild("worker-1", record)
    await supervisor.start(child, other)
    await until(lambda: child.probes > 1)
    child.answer = False
    await until(lambda: child.starts == 2)
    child.answer = True
    line = "api runs and has not answered 6 probes in a row (0.006 s): it is killed"
    assert record[2].startswith(line)
    assert record[3] == "kill api"
    assert record[4].startswith("api ended (signal 9); starting it again")
    assert other.starts == 1
    await supervisor.stop()


async def test_a_starting_child_is_probed_and_not_killed(record: list[str]) -> None:
    supervisor = Supervisor(record.append, liveness=QUICK)
    child = FakeChild("worker-1", record)
    child.answer = False
    await supervisor.start(child)
    await until(lambda: child.probes > 20)
    assert record == ["start worker-1"]
    await supervisor.stop()


async def test_without_a_period_no_child_is_probed(record: list[str]) -> None:
    supervisor = Supervisor(record.append, liveness=Liveness(0))
    child = FakeChild("api", record)
    await supervisor.start(child)
    assert not [task for task in asyncio.all_tasks() if "probe" in task.get_name()]
    await supervisor.stop()
    assert child.probes == 0
