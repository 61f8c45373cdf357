"""The worker starts and stops its services in order, and ends when a topic was replaced."""

from __future__ import annotations

import pytest

from stream_app.contracts.topics import CONSUMED_TOPICS, DEAD_LETTERS, STORE_STATUS
from stream_app.errors import TopicReplacedError
from stream_app.worker.app import Services, end_on_replaced
from tests.agent_fakes import Failures, FakeAppliedOffsets


def test_the_first_id_of_a_topic_is_that_of_the_watermarks() -> None:
    progress, failures = FakeAppliedOffsets(), Failures()
    end_on_replaced(progress.set_topic_id, failures)(STORE_STATUS.name, "first", None)
    assert progress.topic_ids == {STORE_STATUS.name: "first"}
    assert failures.errors == []


@pytest.mark.parametrize("spec", CONSUMED_TOPICS, ids=lambda spec: spec.name)
def test_a_topic_made_anew_ends_the_worker_that_reads_the_old_one(spec: object) -> None:
    """The watermarks of the old topic must not count for the new one."""
    progress, failures = FakeAppliedOffsets(), Failures()
    name = getattr(spec, "name", "")
    end_on_replaced(progress.set_topic_id, failures)(name, "second", "first")
    assert progress.topic_ids == {}
    (error,) = failures.errors
    assert isinstance(error, TopicReplacedError)
    assert name in str(error)


def test_a_topic_that_it_does_not_read_may_be_another_one() -> None:
    progress, failures = FakeAppliedOffsets(), Failures()
    end_on_replaced(progress.set_topic_id, failures)(DEAD_LETTERS.name, "second", "first")
    assert failures.errors == []


class RecordingService:
    """Records when it is started and stopped."""

    def __init__(self, name: str, steps: list[str], error: str = "") -> None:
        self._name = name
        self._steps = steps
        self._error = error

    async def start(self) -> None:
        await self._do("start")

    async def stop(self) -> None:
        await self._do("stop")

    async def _do(self, step: str) -> None:
        self._steps.append(f"{step} {self._name}")
        if step == self._error:
            raise OSError(step)


class SynchronousService(RecordingService):
    """A service that starts without a coroutine, as a `PeriodicTask` does."""

    def start(self) -> None:  # type: ignore[override]
        self._steps.append(f"start {self._name}")


async def test_services_are_stopped_in_the_opposite_order() -> None:
    steps: list[str] = []
    services = Services([RecordingService("one", steps), SynchronousService("two", steps)])
    await services.start()
    await services.stop()
    assert steps == ["start one", "start two", "stop two", "stop one"]


async def test_a_service_that_was_not_started_is_not_stopped() -> None:
    steps: list[str] = []
    services = Services(
        [
            RecordingService("one", steps),
            RecordingService("two", steps, error="start"),
            RecordingService("three", steps),
        ]
    )
    with pytest.raises(OSError, match="start"):
        await services.start()
    await services.stop()
    assert steps == ["start one", "start two", "stop two", "stop one"]


async def test_a_service_that_fails_to_stop_keeps_no_other_one_running() -> None:
    steps: list[str] = []
    services = Services(
        [RecordingService("one", steps), RecordingService("two", steps, error="stop")]
    )
    await services.start()
    with pytest.raises(OSError, match="stop"):
        await services.stop()
    assert steps[2:] == ["stop two", "stop one"]
