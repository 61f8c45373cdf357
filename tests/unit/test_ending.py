"""How a worker ends: one line, and in time."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiokafka.errors import ProducerFenced

from stream_app import ending
from stream_app.ending import Failure, LastResort
from stream_app.errors import TableError
from tests.agent_fakes import settle


class App:
    """Faust's app as far as it can be made to end."""

    def __init__(self) -> None:
        self.crashes: list[BaseException] = []

    async def crash(self, error: BaseException) -> None:
        self.crashes.append(error)


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Any:
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
async def test_what_can_be_expected_is_one_line(
    error: BaseException, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    fail = Failure(app)
    assert not fail.told

    fail(error)
    fail(RuntimeError("that follows from it"))
    await settle()

    (record,) = caplog.records
    assert record.getMessage().startswith(line)
    assert record.exc_info is None
    assert app.crashes[0] is error
    assert fail.told


async def test_what_cannot_be_expected_says_where_it_comes_from(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Failure(App())(ZeroDivisionError("division by zero"))
    await settle()

    (record,) = caplog.records
    assert record.getMessage() == "this worker ends: ZeroDivisionError: division by zero"
    assert record.exc_info is not None


async def test_the_libraries_have_nothing_to_add() -> None:
    Failure(App())(TableError("the disk is full"))
    await settle()

    assert not logging.getLogger("faust").isEnabledFor(logging.CRITICAL)
    assert logging.getLogger("stream_app").isEnabledFor(logging.ERROR)


def test_the_last_resort_is_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that die with the interpreter come there again, and a thread would never start."""
    started: list[tuple[float, Any]] = []

    class Timer:
        daemon = False

        def __init__(self, seconds: float, call: Any) -> None:
            self.told = (seconds, call)

        def start(self) -> None:
            assert self.daemon, "it must not keep the process alive"
            started.append(self.told)

    monkeypatch.setattr(ending.threading, "Timer", Timer)
    last_resort = LastResort()

    last_resort.within(5)
    last_resort.within(25)

    assert started == [(5, ending.end_now)]
