from __future__ import annotations

import re

import pytest

from stream_app.contracts.topics import (
    ALL_TOPICS,
    APP_ID,
    FACTS_TABLE,
    MAX_RECORD_BYTES,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    SOURCE_TOPICS,
    TopicSpec,
    changelog,
)
from stream_app.durations import parse_duration
from stream_app.settings import Settings

DEFAULT = Settings.from_environment({})
TOPICS = {spec.name: spec for spec in ALL_TOPICS}
CHANGELOG = f"{APP_ID}-{FACTS_TABLE}-changelog"


def configs(name: str, **overrides: int) -> dict[str, str]:
    return TOPICS[name].configs(Settings.from_environment({}, **overrides))


def milliseconds(duration: str) -> str:
    return str(parse_duration(duration) // 1000)


def test_the_topics_of_the_contract_exist_once_each() -> None:
    assert len(TOPICS) == len(ALL_TOPICS)
    assert set(TOPICS) >= {
        "store-status",
        "store-business-hours",
        "store-timezones",
        "report-requests",
        "report-results",
        "stores",
        "dead-letters",
    }


def test_all_topics_by_store_are_copartitioned() -> None:
    """Otherwise the worker that computes a report would not own the facts of its store."""
    together = [*SOURCE_TOPICS, REPORT_REQUESTS, REPORT_RESULTS, changelog(FACTS_TABLE)]
    settings = Settings.from_environment({}, partitions=13)
    assert {spec.partitions(settings) for spec in together} == {13}
    assert {spec.name for spec in together} <= set(TOPICS)


@pytest.mark.parametrize("name", ["watermarks", "dead-letters"])
def test_a_topic_without_stores_has_one_partition(name: str) -> None:
    assert TOPICS[name].partitions(Settings.from_environment({}, partitions=13)) == 1


@pytest.mark.parametrize(
    ("name", "cleanup"),
    [
        ("store-status", "delete"),
        ("store-business-hours", "compact"),
        ("store-timezones", "compact"),
        ("report-requests", "delete"),
        ("report-results", "compact,delete"),
        ("stores", "compact"),
        ("dead-letters", "delete"),
        (CHANGELOG, "compact"),
    ],
)
def test_each_topic_has_its_cleanup_policy(name: str, cleanup: str) -> None:
    assert configs(name)["cleanup.policy"] == cleanup


@pytest.mark.parametrize("name", ["store-business-hours", "store-timezones", "stores", CHANGELOG])
def test_a_compacted_topic_never_expires(name: str) -> None:
    assert "retention.ms" not in configs(name)


@pytest.mark.parametrize("name", ["report-requests", "report-results"])
def test_reports_are_kept_as_long_as_the_setting_says(name: str) -> None:
    assert configs(name)["retention.ms"] == milliseconds("7d")
    longer = configs(name, report_retention=parse_duration("30d"))
    assert longer["retention.ms"] == milliseconds("30d")


def test_no_status_of_a_report_is_compacted_away_before_it_expires() -> None:
    config = configs("report-results", report_retention=parse_duration("30d"))
    assert config["min.compaction.lag.ms"] == config["retention.ms"] == milliseconds("30d")


@pytest.mark.parametrize(
    ("name", "retention"), [("store-status", "7d"), ("dead-letters", "30d"), ("watermarks", "1h")]
)
def test_other_retention_is_fixed(name: str, retention: str) -> None:
    assert configs(name)["retention.ms"] == milliseconds(retention)


@pytest.mark.parametrize("spec", ALL_TOPICS, ids=lambda spec: spec.name)
@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_two_copies_hold_a_record_where_there_are_three(
    spec: TopicSpec, replication: int, in_sync: str
) -> None:
    settings = Settings.from_environment({}, replication=replication)
    assert spec.configs(settings)["min.insync.replicas"] == in_sync


@pytest.mark.parametrize("spec", ALL_TOPICS, ids=lambda spec: spec.name)
def test_the_broker_dates_every_record_but_those_of_the_changelog(spec: TopicSpec) -> None:
    dated = spec.configs(DEFAULT)["message.timestamp.type"]
    assert dated == ("CreateTime" if spec.name == CHANGELOG else "LogAppendTime")


def test_a_dead_letter_has_room_for_the_largest_record() -> None:
    # base64 makes three bytes four, and the record has a key and a reason besides
    assert int(configs("dead-letters")["max.message.bytes"]) > 2 * MAX_RECORD_BYTES
    assert configs("store-status")["max.message.bytes"] == str(MAX_RECORD_BYTES)


@pytest.mark.parametrize("spec", ALL_TOPICS, ids=lambda spec: spec.name)
def test_a_topic_is_one_that_kafka_creates(spec: TopicSpec) -> None:
    assert re.fullmatch(r"[a-z0-9.-]{1,249}", spec.name)
    assert all(isinstance(value, str) for value in spec.configs(DEFAULT).values())
