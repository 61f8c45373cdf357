"""A periodic task goes on after any failed step, until it is stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_app import periodic
from stream_app.errors import BrokerUnavailableError, TableError
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


async def test_the_first_step_may_come_before_the_first_pause() -> None:
    steps = Steps()
    task = PeriodicTask("work", 10_000, steps, pause_first=False)
    task.start()
    await settle()
    await task.stop()

    assert steps.count == 1


async def test_a_failure_and_its_end_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    steps = Steps()
    steps.errors = [OSError("oh"), OSError("no"), ValueError("no"), OSError("oh")]
    task = PeriodicTask("work", 0, steps)
    task.start()
    await settle()
    steps.errors = [OSError("oh")]
    await settle()
    await task.stop()

    # an error of another class is another failure
    assert caplog.messages == [
        "work failed, trying again",
        "work failed, trying again",
        "work works again",
        "work failed, trying again",
        "work works again",
    ]
    assert [record.exc_info is not None for record in caplog.records] == [
        record.levelname == "ERROR" for record in caplog.records
    ]


async def test_lost_brokers_are_logged_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    steps = Steps()
    steps.errors = [BrokerUnavailableError("no broker")] * 2
    task = PeriodicTask("work", 0, steps)
    task.start()
    await settle()
    await task.stop()

    assert steps.count > 2
    assert caplog.messages == []


async def test_a_failed_step_is_tried_again_after_the_pause_for_retries() -> None:
    steps = Steps()
    steps.errors = [OSError("oh")]
    task = PeriodicTask("work", 0, steps, retry_seconds=10_000)
    task.start()
    await settle()
    await task.stop()

    assert steps.count == 1


async def test_a_fatal_error_ends_the_task_and_is_passed_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    steps = Steps()
    steps.errors = [OSError("oh"), TableError("no database")]
    fatal: list[BaseException] = []
    task = PeriodicTask("work", 0, steps, on_error=fatal.append)
    task.start()
    await settle()

    assert steps.count == 2
    assert [str(error) for error in fatal] == ["no database"]
    assert caplog.messages == ["work failed, trying again"]
    await task.stop()


async def test_without_on_error_a_fatal_error_is_retried_like_any_other() -> None:
    steps = Steps()
    steps.errors = [TableError("no database")]
    task = PeriodicTask("work", 0, steps)
    task.start()
    await settle()
    await task.stop()

    assert steps.count > 1


async def test_a_task_stops_although_a_step_loses_a_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`asyncio.wait_for` loses a cancellation at the moment at which its awaitable ends."""
    monkeypatch.setattr(periodic, "CANCEL_SECONDS", 0.01)
    lost = 0

    async def lose_one() -> None:
        nonlocal lost
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost += 1
            if lost > 1:
                raise

    task = PeriodicTask("work", 0, lose_one)
    task.start()
    await settle()
    await task.stop()

    assert lost == 2


async def test_a_task_that_was_stopped_may_start_again() -> None:
    steps = Steps()
    task = PeriodicTask("work", 0, steps)
    for _ in range(2):
        count = steps.count
        task.start()
        await settle()
        await task.stop()
        assert steps.count > count


async def test_a_step_that_hangs_is_cut_off_by_the_stop() -> None:
    steps = Steps()
    steps.hanging = True
    task = PeriodicTask("work", 0, steps)
    task.start()
    await settle()

    await task.stop()

    assert (steps.count, steps.cancelled) == (1, 1)


async def test_a_task_that_never_started_may_be_stopped() -> None:
    await PeriodicTask("work", 0, Steps()).stop()
