"""All rights that a process lacks are named at once, before it needs them and while it runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from stream_app.contracts.access import ACCESS, Process
from stream_app.contracts.topics import APP_ID, WEBHOOKS_GROUP
from stream_app.errors import PrerequisiteError
from stream_app.kafka import admin as module
from stream_app.kafka import topic_watch
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.protocol import OPERATIONS_UNKNOWN
from stream_app.kafka.topic_watch import TopicWatch
from tests.agent_fakes import settings_with
from tests.topic_fakes import FakeTopics

if TYPE_CHECKING:
    from aiokafka.admin import NewTopic

ALL = (1 << 13) - 1
READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS = (1 << code for code in (3, 4, 8, 10))
CHANGELOG = "store-uptime-facts-changelog"


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> FakeTopics:
    fake = FakeTopics(settings_with())
    monkeypatch.setattr(module, "AIOKafkaAdminClient", lambda **_: fake)
    monkeypatch.setattr(topic_watch, "AIOKafkaAdminClient", lambda **_: fake)
    return fake


async def refusal(topics: FakeTopics, process: Process) -> str:
    with pytest.raises(PrerequisiteError) as refused:
        await ensure_topics(topics.settings, process)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("process", Process)
async def test_a_process_asks_for_nothing_that_it_does_not_use(
    topics: FakeTopics, process: Process
) -> None:
    access = ACCESS[process]
    used = {spec.name for spec in access.topics}
    topics.unseen = set(topics.topics) - used
    topics.forbidden = {APP_ID, WEBHOOKS_GROUP, f"{CHANGELOG}-0"}
    topics.forbidden -= {*access.groups, *(f"{spec.name}-0" for spec in access.transactional)}
    assert await ensure_topics(topics.settings, process) == 0


@pytest.mark.parametrize("process", Process)
async def test_a_process_creates_the_topics_that_it_uses(
    topics: FakeTopics, process: Process
) -> None:
    topics.topics.clear()
    await ensure_topics(topics.settings, process)
    assert topics.created == [spec.name for spec in ACCESS[process].topics]


@pytest.mark.parametrize(
    ("process", "topic", "bit", "words"),
    [
        (Process.WORKER, "store-status", READ, "Read on topic store-status"),
        (Process.WORKER, "store-status", WRITE, "Write on topic store-status"),
        (Process.WORKER, CHANGELOG, WRITE, f"Write on topic {CHANGELOG}"),
        (Process.API, "stores", READ, "Read on topic stores"),
        (Process.API, "stores", DESCRIBE_CONFIGS, "DescribeConfigs on topic stores"),
        (Process.API_WITH_WEBHOOKS, "webhooks", WRITE, "Write on topic webhooks"),
        (Process.REPLAY, "dead-letters", WRITE, "Write on topic dead-letters"),
        (Process.SIMULATE, "store-timezones", WRITE, "Write on topic store-timezones"),
        (Process.LIST_DEAD_LETTERS, "dead-letters", READ, "Read on topic dead-letters"),
        (Process.REPLAY_DEAD_LETTERS, "webhooks", WRITE, "Write on topic webhooks"),
        (Process.EXPLAIN, "store-status", READ, "Read on topic store-status"),
        (Process.UP, "watermarks", DESCRIBE, "Describe on topic watermarks"),
    ],
)
async def test_a_missing_right_on_a_topic_is_named(
    topics: FakeTopics, process: Process, topic: str, bit: int, words: str
) -> None:
    topics.operations = {topic: ALL & ~bit}
    assert await refusal(topics, process) == (
        f"the broker does not let a client that does not log in do what `{process}` needs: grant "
        f"{words} (docs/how-to/cluster.md lists all)"
    )


async def test_a_right_that_a_process_does_not_need_is_not_missed(topics: FakeTopics) -> None:
    topics.operations = dict.fromkeys(topics.topics, WRITE | DESCRIBE | DESCRIBE_CONFIGS)
    await ensure_topics(topics.settings, Process.REPLAY)
    topics.operations = dict.fromkeys(topics.topics, READ | DESCRIBE)
    await ensure_topics(topics.settings, Process.LIST_DEAD_LETTERS)


async def test_all_missing_rights_are_one_message(topics: FakeTopics) -> None:
    topics.unseen = {"stores"}
    topics.operations = {"store-status": ALL & ~READ, "dead-letters": ALL & ~READ}
    topics.forbidden = {APP_ID, f"{CHANGELOG}-0"}
    message = await refusal(topics, Process.WORKER)
    assert "Read on topics store-status, dead-letters" in message
    assert "Write on topic stores; " in message
    assert f"Read on group {APP_ID}" in message
    assert f"Write on transactional id {CHANGELOG}-*" in message


async def test_the_right_to_see_a_group_is_not_enough_to_join_it(topics: FakeTopics) -> None:
    topics.operations = {APP_ID: DESCRIBE}
    assert f"Read on group {APP_ID}" in await refusal(topics, Process.WORKER)
    topics.operations = {APP_ID: OPERATIONS_UNKNOWN}
    await ensure_topics(topics.settings, Process.WORKER)


async def test_a_broker_that_does_not_report_rights_is_believed(topics: FakeTopics) -> None:
    topics.knows_topic_ids = False
    await ensure_topics(topics.settings, Process.WORKER)


async def test_the_user_is_named(topics: FakeTopics) -> None:
    topics.operations = {"stores": ALL & ~READ}
    topics.settings = topics.settings.replace(kafka_sasl_username="ann")
    assert "let user ann do what" in await refusal(topics, Process.API)


async def test_topics_that_may_not_be_created_are_one_message(
    topics: FakeTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    del topics.topics["store-status"], topics.topics["dead-letters"]

    async def refuse(new_topics: list[NewTopic]) -> object:
        errors = [(new.name, TopicAuthorizationFailedError.errno, "no") for new in new_topics]
        return type("Response", (), {"topic_errors": errors})

    monkeypatch.setattr(topics, "create_topics", refuse)
    message = await refusal(topics, Process.REPLAY)
    assert message.startswith(
        "the broker does not create topics store-status and dead-letters for a client that does "
        "not log in: grant Create on these names"
    )


async def test_a_right_that_is_withdrawn_is_named_while_the_process_runs(
    topics: FakeTopics, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    watch = TopicWatch(topics.settings, Process.WORKER, lambda *_: None, lambda: now)
    await watch.start()
    try:
        topics.operations = {"stores": ALL & ~WRITE}
        await watch.ask()
        assert watch.trouble is not None
        assert "grant Write on topic stores" in watch.trouble
        topics.operations = {}
        topics.forbidden = {APP_ID}
        now += 60
        await watch.ask()
        assert watch.trouble is not None
        assert f"grant Read on group {APP_ID}" in watch.trouble
        topics.forbidden = set()
        now += 5
        with caplog.at_level(logging.INFO):
            await watch.ask()
        assert watch.trouble is None
        assert caplog.messages[-1] == "the topics are as they must be again"
    finally:
        await watch.stop()
