"""Topics that somebody else created are corrected, or refused in one message."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from stream_app.contracts.topics import ALL_TOPICS, STORES
from stream_app.errors import PrerequisiteError
from stream_app.kafka import admin as module
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.topic_check import TopicCheck, check_topics
from stream_app.kafka.topic_ids import describe_topics
from tests.agent_fakes import settings_with
from tests.topic_fakes import FakeTopics

if TYPE_CHECKING:
    from stream_app.settings import Settings

REFUSED = (TopicAuthorizationFailedError.errno, None)
CHANGELOG = "store-uptime-facts-changelog"


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> FakeTopics:
    fake = FakeTopics(settings_with())
    monkeypatch.setattr(module, "AIOKafkaAdminClient", lambda **_: fake)
    return fake


async def checked(topics: FakeTopics, settings: Settings | None = None) -> TopicCheck:
    client = cast("Any", topics)
    described = await describe_topics(client, [spec.name for spec in ALL_TOPICS])
    return await check_topics(client, settings or topics.settings, described)


async def refusal(topics: FakeTopics) -> str:
    with pytest.raises(PrerequisiteError) as refused:
        await ensure_topics(topics.settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_topics_as_they_must_be_are_left_alone(topics: FakeTopics) -> None:
    assert await ensure_topics(topics.settings) == 0
    assert topics.altered == []


async def test_missing_topics_are_created_as_they_must_be(topics: FakeTopics) -> None:
    names = list(topics.topics)
    del topics.topics["stores"], topics.topics["watermarks"]
    topics.down = {2}
    assert await ensure_topics(topics.settings) == 2
    assert sorted(topics.created) == ["stores", "watermarks"]
    assert sorted(topics.topics) == sorted(names)
    assert topics.altered == []


async def test_settings_that_differ_are_corrected_with_a_line_for_each_change(
    topics: FakeTopics, caplog: pytest.LogCaptureFixture
) -> None:
    topics.configs("stores", cleanup_policy="delete", segment_ms="5")
    topics.configs("dead-letters", retention_ms="1000")
    topics.configs(CHANGELOG, max_message_bytes="1048588")

    with caplog.at_level(logging.WARNING):
        await ensure_topics(topics.settings)

    assert sorted(topics.altered) == [
        ("dead-letters", "retention.ms", "2592000000"),
        (CHANGELOG, "max.message.bytes", "8000000"),
        ("stores", "cleanup.policy", "compact"),
    ]
    assert sorted(caplog.messages) == [
        "topic dead-letters: retention.ms was 1000 and must be at least 2592000000: "
        "it is 2592000000 now",
        f"topic {CHANGELOG}: max.message.bytes was 1048588 and must be at least 8000000: "
        "it is 8000000 now",
        "topic stores: cleanup.policy was delete and must be compact: it is compact now",
    ]
    assert topics.topics["stores"].config["segment.ms"] == "5"


async def test_settings_that_may_not_be_changed_are_one_message_for_all_topics(
    topics: FakeTopics,
) -> None:
    topics.configs("stores", cleanup_policy="delete")
    topics.configs("store-status", message_timestamp_type="CreateTime", retention_bytes="7")
    topics.configs("webhooks", retention_ms="1")
    topics.refuses = {"stores": REFUSED, "store-status": (44, "Policy says no")}

    message = await refusal(topics)

    assert "stores: cleanup.policy is delete, must be compact" in message
    assert "store-status: message.timestamp.type is CreateTime, must be LogAppendTime" in message
    assert "store-status: retention.bytes is 7, must be -1" in message
    assert "TopicAuthorizationFailedError" in message
    assert "Policy says no" in message
    assert "grant AlterConfigs" in message
    assert "kafka-configs --alter" in message
    assert "webhooks" not in message, "it was corrected"


async def test_settings_that_may_not_be_read_are_not_believed(topics: FakeTopics) -> None:
    topics.hidden = {"stores", "latest-polls"}
    message = await refusal(topics)
    assert "settings of latest-polls and stores: grant DescribeConfigs" in message


async def test_a_topic_that_may_not_be_seen_is_named(topics: FakeTopics) -> None:
    topics.unseen = {"stores"}
    message = await refusal(topics)
    assert "grant Describe on topic stores; DescribeConfigs on topic stores" in message


@pytest.mark.parametrize("spec", ALL_TOPICS, ids=lambda spec: spec.name)
async def test_another_number_of_partitions_is_refused_and_nothing_is_changed(
    topics: FakeTopics, spec: Any
) -> None:
    """Topics of our names may belong to somebody else."""
    topics.topics[spec.name].partitions = 9
    topics.configs("stores", cleanup_policy="delete")

    message = await refusal(topics)

    required = spec.partitions(topics.settings)
    assert f"{spec.name}: partitions is 9, must be {required}" in message
    assert "stores: cleanup.policy is delete, must be compact" in message
    assert "STORE_UPTIME_PARTITIONS" in message
    assert topics.altered == []


async def test_fewer_copies_are_a_warning_and_more_are_none(
    topics: FakeTopics, caplog: pytest.LogCaptureFixture
) -> None:
    for topic in topics.topics.values():
        topic.replicas = 4
    topics.topics["stores"].replicas = 1
    settings = settings_with(replication=3)
    for spec in ALL_TOPICS:
        topics.topics[spec.name].config |= spec.configs(settings)
    topics.configs("stores", min_insync_replicas="1")

    with caplog.at_level(logging.WARNING):
        await ensure_topics(settings)

    (line,) = caplog.messages
    assert line.startswith("topic stores has 1 copies, and STORE_UPTIME_REPLICATION says 3")


async def test_a_broker_too_old_to_change_single_settings_is_named(
    topics: FakeTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.configs("stores", cleanup_policy="delete")

    def too_old(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(topics, "_alter", too_old)
    assert "older than Kafka 2.3" in await refusal(topics)


async def test_a_topic_that_a_broker_does_not_know_yet_is_no_difference(
    topics: FakeTopics,
) -> None:
    described = await describe_topics(cast("Any", topics), [STORES.name])
    del topics.topics["stores"]
    check = await check_topics(cast("Any", topics), topics.settings, described)
    assert check.trouble is None


# -- the brokers that are asked


async def test_a_broker_that_is_down_is_skipped(topics: FakeTopics) -> None:
    topics.down = {1, 3}
    for _ in range(20):
        assert (await checked(topics)).trouble is None


async def test_a_broker_without_topic_ids_describes_the_partitions(topics: FakeTopics) -> None:
    with_ids = await describe_topics(cast("Any", topics), ["stores"])
    topics.knows_topic_ids = False
    without = await describe_topics(cast("Any", topics), ["stores"])
    assert with_ids["stores"].id == topics.topics["stores"].id
    assert without["stores"].id is None
    assert without["stores"].partitions == with_ids["stores"].partitions == 4
