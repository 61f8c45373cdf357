"""Background work goes on whatever one step meets, until it is stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_app.errors import BrokerUnavailableError
from stream_app.periodic import PeriodicTask
from tests.agent_fakes import settle

if TYPE_CHECKING:
    import pytest


class Steps:
    """Counts the steps, and fails as a test says."""

    def __init__(self) -> None:
        self.count = 0
        self.errors: list[Exception] = []
        self.hanging = False
        self.cancelled = 0

    async def __call__(self) -> None:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        if self.hanging:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise


async def test_a_step_comes_after_each_pause_until_it_is_stopped() -> None:
    steps = Steps()
    task = PeriodicTask("work", 0, steps)
    task.start()
    assert steps.count == 0
    await settle()
    assert steps.count > 5

    await task.stop()
    await task.stop()
    count = steps.count
    await settle()

    assert steps.count == count


async def test_no_step_comes_before_the_first_pause_is_over() -> None:
    steps = Steps()
    task = PeriodicTask("work", 10_000, steps)
    task.start()
    await settle()
    await task.stop()

    assert steps.count == 0


async def test_an_error_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    steps = Steps()
    steps.errors = [OSError("oh"), BrokerUnavailableError("no broker"), ValueError("no")]
    task = PeriodicTask("work", 0, steps)
    task.start()
    await settle()
    await task.stop()

    assert steps.count > 3
    # brokers that are away are told by others, and not twice a second
    assert caplog.messages == ["work failed, trying again"] * 2
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


async def test_a_step_that_hangs_is_cut_off_by_the_stop() -> None:
    steps = Steps()
    steps.hanging = True
    task = PeriodicTask("work", 0, steps)
    task.start()
    await settle()

    await task.stop()

    assert (steps.count, steps.cancelled) == (1, 1)


async def test_what_never_began_may_be_stopped() -> None:
    await PeriodicTask("work", 0, Steps()).stop()
