"""A running process reports differences of its topics, each once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from stream_app.contracts.access import Process
from stream_app.contracts.topics import ALL_TOPICS, STORE_STATUS
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import topic_watch as module
from stream_app.kafka.topic_watch import TopicWatch
from tests.agent_fakes import settings_with
from tests.topic_fakes import FakeTopic, FakeTopics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLLS = STORE_STATUS.name


class Harness:
    """A watch over fake brokers, on a clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pause: float = 3600.0) -> None:
        self.topics = FakeTopics(settings_with())
        self.ids: list[tuple[str, str, str | None]] = []
        self.now = 0.0
        monkeypatch.setattr(module, "AIOKafkaAdminClient", lambda **_: self.topics)
        monkeypatch.setattr(module, "ASK_EVERY_SECONDS", pause)
        self.watch = TopicWatch(
            self.topics.settings, Process.UP, self.on_topic_id, lambda: self.now
        )

    def on_topic_id(self, topic: str, topic_id: str, before: str | None) -> None:
        self.ids.append((topic, topic_id, before))

    async def ask(self, seconds: float = 2.0) -> str | None:
        self.now += seconds
        await self.watch.ask()
        return self.watch.trouble

    def checks(self) -> int:
        return self.topics.requests.count("DescribeConfigsRequest")


@pytest.fixture
async def harness(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Harness]:
    caplog.set_level(logging.INFO)
    harness = Harness(monkeypatch)
    await harness.watch.start()
    yield harness
    await harness.watch.stop()


async def test_topics_as_they_must_be_are_no_trouble(harness: Harness) -> None:
    assert harness.watch.trouble is None
    assert {name for name, _, before in harness.ids if before is None} == set(harness.topics.topics)
    assert harness.checks() == 0, "the start has just checked them"


async def test_the_settings_are_checked_once_a_minute(harness: Harness) -> None:
    for _ in range(60):
        await harness.ask(2.0)
    assert harness.checks() == 2


async def test_an_added_partition_is_reported_at_once_and_only_once(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.topics.topics[POLLS].partitions = 5

    trouble = await harness.ask()
    for _ in range(5):
        assert await harness.ask() == trouble

    assert trouble is not None
    assert f"{POLLS}: partitions is 5, must be 4" in trouble
    assert "docs/how-to/cluster.md" in trouble
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [trouble]

    harness.topics.topics[POLLS].partitions = 4
    assert await harness.ask() is None
    assert caplog.messages[-1] == "the topics are as they must be again"


async def test_a_changed_setting_is_corrected_with_one_line(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.topics.configs("stores", cleanup_policy="delete")
    for _ in range(40):
        assert await harness.ask() is None
    assert harness.topics.altered == [("stores", "cleanup.policy", "compact")]
    assert len(caplog.messages) == 1


async def test_a_setting_that_may_not_be_changed_is_trouble_until_it_is_right(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.topics.configs("stores", cleanup_policy="delete")
    harness.topics.refuses = {"stores": (TopicAuthorizationFailedError.errno, None)}

    trouble = await harness.ask(60.0)
    assert trouble is not None
    assert "stores: cleanup.policy is delete, must be compact" in trouble
    await harness.ask(10.0)
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [trouble]

    harness.topics.configs("stores", cleanup_policy="compact")
    assert await harness.ask(5.0) is None


async def test_a_topic_that_is_created_again_has_a_new_id_and_its_settings_are_checked(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    before = harness.topics.topics[POLLS]
    harness.ids.clear()
    # a topic that the broker created automatically
    made = FakeTopic(4, 1, {"cleanup.policy": "delete", "message.timestamp.type": "CreateTime"})
    harness.topics.topics[POLLS] = made

    assert await harness.ask() is None

    assert harness.ids == [(POLLS, made.id, before.id)]
    assert harness.topics.altered == [(POLLS, "message.timestamp.type", "LogAppendTime")]
    assert f"topic {POLLS} was deleted and made anew" in caplog.messages


async def test_a_topic_that_is_gone_is_named(harness: Harness) -> None:
    gone = harness.topics.topics.pop(POLLS)

    trouble = await harness.ask()

    assert trouble is not None
    assert trouble.startswith(f"Topics do not exist any more: {POLLS}. ")
    assert "CreateTopics" not in harness.topics.requests
    harness.topics.topics[POLLS] = gone
    assert await harness.ask() is None


async def test_a_broker_that_is_away_changes_nothing(harness: Harness) -> None:
    harness.topics.topics[POLLS].partitions = 5
    trouble = await harness.ask()
    harness.topics.down = {1, 2, 3}
    with pytest.raises(KafkaConnectionError):
        await harness.ask()
    assert harness.watch.trouble == trouble


async def test_without_a_broker_the_watch_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(monkeypatch)
    harness.topics.down = {1, 2, 3}
    with pytest.raises(BrokerUnavailableError):
        await harness.watch.start()
    await harness.watch.stop()


async def test_the_watch_goes_on_after_any_error(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(monkeypatch, pause=0)
    await harness.watch.start()
    answers: list[Any] = [KafkaConnectionError(), ValueError("unheard of"), None]
    recovered = asyncio.Event()

    async def ask() -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer
        recovered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(harness.watch, "ask", ask)
    await asyncio.wait_for(recovered.wait(), 5)
    await harness.watch.stop()


async def test_a_topic_that_may_not_be_seen_any_more_is_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = Harness(monkeypatch, pause=0)
    await harness.watch.start()
    harness.topics.unseen = {POLLS}
    while harness.watch.trouble is None:  # noqa: ASYNC110  another task asks
        await asyncio.sleep(0)
    assert f"grant Describe on topic {POLLS}" in harness.watch.trouble
    harness.topics.unseen = set()
    while harness.watch.trouble is not None:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await harness.watch.stop()


@pytest.mark.parametrize("spec", ALL_TOPICS, ids=lambda spec: spec.name)
async def test_partitions_of_every_topic_are_counted(harness: Harness, spec: Any) -> None:
    harness.topics.topics[spec.name].partitions += 1
    trouble = await harness.ask()
    assert trouble is not None
    assert f"{spec.name}: partitions is " in trouble
