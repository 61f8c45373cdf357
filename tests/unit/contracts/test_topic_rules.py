"""Some settings of a topic must be corrected; the others belong to the operator."""

from __future__ import annotations

import pytest

from stream_app.contracts.topic_rules import (
    CHECKED_SETTINGS,
    differences,
    partitions_differ,
    remarks,
)
from stream_app.contracts.topics import ALL_TOPICS, APP_ID, FACTS_TABLE, TopicSpec
from stream_app.durations import parse_duration
from stream_app.settings import Settings

TOPICS = {spec.name: spec for spec in ALL_TOPICS}
CHANGELOG = f"{APP_ID}-{FACTS_TABLE}-changelog"
DAY_MS = 24 * 3600 * 1000

KAFKA_DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "max.message.bytes": "1048588",
    "min.compaction.lag.ms": "0",
    "min.insync.replicas": "1",
    "message.timestamp.type": "CreateTime",
    "unclean.leader.election.enable": "false",
}
"""Kafka's defaults, which a topic has that somebody creates by its name alone."""


def settings_with(**overrides: int) -> Settings:
    return Settings.from_environment({}, **overrides)


def changes_of(
    name: str, config: dict[str, str], settings: Settings | None = None, replicas: int = 1
) -> dict[str, str | None]:
    settings = settings or settings_with()
    return {
        difference.setting: difference.value
        for difference in differences(TOPICS[name], settings, config, replicas)
    }


@pytest.mark.parametrize("spec", ALL_TOPICS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("replication", [1, 2, 3, 5])
def test_a_topic_that_we_create_is_as_it_must_be(spec: TopicSpec, replication: int) -> None:
    settings = settings_with(replication=replication)
    config = KAFKA_DEFAULTS | spec.configs(settings)
    assert differences(spec, settings, config, replication) == []
    assert remarks(spec, settings, config, replication) == []
    assert partitions_differ(spec, settings, spec.partitions(settings)) is None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (CHANGELOG, {"cleanup.policy": "compact", "max.message.bytes": "8000000"}),
        ("stores", {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}),
        ("latest-polls", {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}),
        ("store-status", {"message.timestamp.type": "LogAppendTime"}),
        (
            "report-results",
            {
                "cleanup.policy": "compact,delete",
                "message.timestamp.type": "LogAppendTime",
                "min.compaction.lag.ms": "604800000",
            },
        ),
        (
            "dead-letters",
            {
                "message.timestamp.type": "LogAppendTime",
                "retention.ms": str(30 * DAY_MS),
                "retention.bytes": "1000000000",
                "max.message.bytes": "8000000",
            },
        ),
        ("watermarks", {"message.timestamp.type": "LogAppendTime"}),
    ],
)
def test_kafkas_defaults_are_corrected(name: str, changes: dict[str, str]) -> None:
    assert changes_of(name, KAFKA_DEFAULTS) == changes


@pytest.mark.parametrize("name", ["store-business-hours", "store-timezones", "stores", CHANGELOG])
@pytest.mark.parametrize("policy", ["delete", "compact,delete", "delete,compact", ""])
def test_topics_of_state_are_only_compacted(name: str, policy: str) -> None:
    config = TOPICS[name].configs(settings_with()) | {"cleanup.policy": policy}
    assert changes_of(name, config) == {"cleanup.policy": "compact"}


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_polls_are_not_compacted(policy: str) -> None:
    config = KAFKA_DEFAULTS | TOPICS["store-status"].configs(settings_with())
    assert changes_of("store-status", config | {"cleanup.policy": policy}) == {
        "cleanup.policy": "delete"
    }


def test_the_order_of_policies_does_not_matter() -> None:
    config = TOPICS["report-results"].configs(settings_with())
    assert changes_of("report-results", config | {"cleanup.policy": "delete, compact"}) == {}


@pytest.mark.parametrize(
    ("setting", "smaller", "larger"),
    [
        ("retention.ms", "1000", str(400 * DAY_MS)),
        ("retention.ms", str(30 * DAY_MS - 1), "-1"),
        ("max.message.bytes", "1048588", "20000000"),
    ],
)
def test_a_longer_or_larger_value_is_left_alone(setting: str, smaller: str, larger: str) -> None:
    required = TOPICS["dead-letters"].configs(settings_with())
    assert changes_of("dead-letters", required | {setting: smaller}) == {setting: required[setting]}
    assert changes_of("dead-letters", required | {setting: larger}) == {}


UNBOUNDED = [s.name for s in ALL_TOPICS if "delete" in s.cleanup and s.name != "dead-letters"]


@pytest.mark.parametrize("name", UNBOUNDED)
def test_no_record_is_deleted_because_of_the_size_of_its_topic(name: str) -> None:
    config = TOPICS[name].configs(settings_with()) | {"retention.bytes": "1000000"}
    assert changes_of(name, config) == {"retention.bytes": "-1"}


@pytest.mark.parametrize("now", ["-1", "999999999", "1000000001", "1"])
def test_the_bound_of_dead_letters_follows_its_setting_up_and_down(now: str) -> None:
    config = TOPICS["dead-letters"].configs(settings_with()) | {"retention.bytes": now}
    assert changes_of("dead-letters", config) == {"retention.bytes": "1000000000"}
    settings = settings_with(dead_letters_mb=250)
    assert changes_of("dead-letters", config, settings) == {"retention.bytes": "250000000"}


def test_bounds_that_delete_nothing_are_left_alone() -> None:
    config = TOPICS["stores"].configs(settings_with())
    assert changes_of("stores", config | {"retention.bytes": "1000", "retention.ms": "1"}) == {}


def test_settings_of_the_operator_are_left_alone() -> None:
    config = KAFKA_DEFAULTS | TOPICS["report-results"].configs(settings_with())
    own = {"segment.ms": "1", "segment.bytes": "1", "compression.type": "zstd", "flush.ms": "1"}
    assert changes_of("report-results", config | own) == {}
    assert not own.keys() & set(CHECKED_SETTINGS)


@pytest.mark.parametrize("spec", ALL_TOPICS, ids=lambda spec: spec.name)
def test_the_broker_dates_every_record(spec: TopicSpec) -> None:
    config = spec.configs(settings_with())
    for kind in ("CreateTime", "LogAppendTime"):
        allowed = kind == "LogAppendTime" or spec.name == CHANGELOG
        changes = changes_of(spec.name, config | {"message.timestamp.type": kind})
        assert changes == ({} if allowed else {"message.timestamp.type": "LogAppendTime"})


@pytest.mark.parametrize(
    ("replication", "replicas", "in_sync", "value"),
    [
        (1, 1, "1", None),
        (1, 3, "1", None),
        (1, 3, "3", None),  # the operator's choice
        (3, 3, "1", "2"),
        (3, 3, "2", None),
        (3, 3, "3", None),
        (3, 4, "2", None),
        (3, 1, "1", None),  # one copy cannot be in sync twice
        (3, 2, "1", None),
        (1, 1, "2", "1"),  # no record could be written
        (3, 2, "3", "1"),
    ],
)
def test_as_many_copies_acknowledge_as_there_are(
    replication: int, replicas: int, in_sync: str, value: str | None
) -> None:
    settings = settings_with(replication=replication)
    config = TOPICS["stores"].configs(settings) | {"min.insync.replicas": in_sync}
    expected = {} if value is None else {"min.insync.replicas": value}
    assert changes_of("stores", config, settings, replicas) == expected


@pytest.mark.parametrize(("replicas", "value"), [(1, None), (2, "false"), (3, "false")])
def test_no_broker_that_lacks_records_becomes_the_leader(replicas: int, value: str | None) -> None:
    config = TOPICS["store-status"].configs(settings_with())
    config |= {"unclean.leader.election.enable": "true"}
    expected = {} if value is None else {"unclean.leader.election.enable": value}
    assert changes_of("store-status", config, replicas=replicas) == expected


def test_a_setting_that_the_broker_does_not_report_is_not_changed() -> None:
    assert changes_of("stores", {"cleanup.policy": "delete"}) == {"cleanup.policy": "compact"}


# -- a setting of the product that changes


@pytest.mark.parametrize("name", ["report-requests", "report-results", "webhooks"])
def test_a_longer_report_retention_changes_the_topics(name: str) -> None:
    made = TOPICS[name].configs(settings_with(report_retention=parse_duration("7d")))
    changes = changes_of(name, made, settings_with(report_retention=parse_duration("14d")))
    expected = {"retention.ms": str(14 * DAY_MS)}
    if name == "report-results":
        expected["min.compaction.lag.ms"] = str(14 * DAY_MS)
    assert changes == expected


def test_a_shorter_report_retention_changes_nothing_and_is_reported() -> None:
    spec = TOPICS["report-requests"]
    made = spec.configs(settings_with(report_retention=parse_duration("14d")))
    now = settings_with(report_retention=parse_duration("7d"))
    assert differences(spec, now, made, 1) == []
    (line,) = remarks(spec, now, made, 1)
    assert line == (
        "topic report-requests keeps records 14d, longer than STORE_UPTIME_REPORT_RETENTION=7d: "
        "it is left as it is; kafka-configs changes its retention.ms"
    )
    (line,) = remarks(spec, now, made | {"retention.ms": "-1"}, 1)
    assert "keeps records for ever" in line


def test_fewer_copies_are_reported() -> None:
    spec, settings = TOPICS["stores"], settings_with(replication=3)
    (line,) = remarks(spec, settings, spec.configs(settings), 1)
    assert line.startswith("topic stores has 1 copies, and STORE_UPTIME_REPLICATION says 3: ")
    assert remarks(spec, settings, spec.configs(settings), 4) == []


@pytest.mark.parametrize("spec", ALL_TOPICS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("more", [-1, 1, 8])
def test_another_number_of_partitions_is_a_difference(spec: TopicSpec, more: int) -> None:
    settings = settings_with(partitions=8)
    required = spec.partitions(settings)
    difference = partitions_differ(spec, settings, required + more)
    assert difference is not None
    assert difference.value is None
    assert str(difference) == (f"{spec.name}: partitions is {required + more}, must be {required}")


def test_a_difference_names_topic_setting_actual_and_required_value() -> None:
    (difference,) = differences(
        TOPICS["dead-letters"], settings_with(), {"retention.ms": "1000"}, 1
    )
    assert str(difference) == ("dead-letters: retention.ms is 1000, must be at least 2592000000")
