"""A worker joins its group again after an error, with aiokafka's own coordinator."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, UnknownError

from stream_app.kafka.group_errors import join_again_after_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TRIES = 3


class Client:
    """A client of a known cluster, which sends no request."""

    cluster = ClusterMetadata()

    def set_topics(self, _topics: Any) -> asyncio.Future[bool]:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done


class Joins:
    """The answers to the joins of a group, in order; the last one is given again and again."""

    def __init__(self, *answers: BaseException | None) -> None:
        self.count = 0
        self.enough = asyncio.Event()
        self._answers = answers

    async def join(self) -> None:
        self.count += 1
        if self.count == TRIES:
            self.enough.set()
        answer = self._answers[min(self.count, len(self._answers)) - 1]
        if answer is not None:
            raise answer


def fail_test(error: BaseException) -> None:
    pytest.fail(repr(error))


@asynccontextmanager
async def joining(
    joins: Joins,
    monkeypatch: pytest.MonkeyPatch,
    on_failure: Callable[[BaseException], None] = fail_test,
) -> AsyncIterator[GroupCoordinator]:
    """Start a coordinator, which begins to join."""

    async def known(_coordinator: GroupCoordinator) -> None:
        """The coordinator is known without a request."""

    monkeypatch.setattr(GroupCoordinator, "ensure_coordinator_known", known)
    monkeypatch.setattr(CoordinatorGroupRebalance, "perform_group_join", joins.join)
    subscription = SubscriptionState()
    subscription.register_fetch_waiters(set())
    coordinator = GroupCoordinator(Client(), subscription, group_id="g", enable_auto_commit=False)
    join_again_after_errors(coordinator, on_failure, retry_seconds=0)
    subscription.subscribe({"t"})
    try:
        yield coordinator
    finally:
        task = coordinator._coordination_task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    "error",
    [KafkaError(repr(UnknownError())), GroupAuthorizationFailedError("g")],
    ids=["a broker that wakes up", "a right that is missing for a while"],
)
async def test_a_join_is_tried_again_after_each_error(
    error: KafkaError, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    joins = Joins(error)
    async with joining(joins, monkeypatch):
        await joins.enough.wait()
    assert type(error).__name__ in caplog.text


async def test_a_heartbeat_that_failed_leads_to_a_join(monkeypatch: pytest.MonkeyPatch) -> None:
    async with joining(Joins(None), monkeypatch) as coordinator:
        coordinator._rejoin_needed_fut = asyncio.get_running_loop().create_future()
        await coordinator._push_error_to_user(UnknownError())
        assert coordinator._rejoin_needed_fut.done()


async def test_an_error_that_ends_the_coordinator_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    async with joining(Joins(ZeroDivisionError()), monkeypatch, failed.set_result):
        assert "ZeroDivisionError" in repr(await failed)


async def test_a_coordinator_that_is_closed_in_the_pause_closes_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with joining(Joins(None), monkeypatch) as coordinator:
        join_again_after_errors(coordinator, fail_test, retry_seconds=3600)
        pause = asyncio.ensure_future(coordinator._push_error_to_user(UnknownError()))
        await asyncio.sleep(0)
        coordinator._closing.set_result(None)
        await pause
