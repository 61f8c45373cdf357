"""The metrics of a worker count its restores, lags and rejected records."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.topics import STORE_STATUS
from stream_app.kafka.safe_records import UnreadableRecords
from stream_app.worker.agents.messages import dead_letter_of
from stream_app.worker.metrics import (
    ChangelogLag,
    SourceLag,
    Unacknowledged,
    WorkerMetrics,
    WorkerSources,
)

STATUS = STORE_STATUS.name


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


SOURCES = WorkerSources(
    lags=lambda: {(STATUS, 3): SourceLag(7, 1.5), (STATUS, 4): SourceLag(2, None)},
    unowned_partitions=lambda: 2,
    changelog_unacknowledged=lambda: Unacknowledged(5, 1234),
    restores=lambda: {1: ChangelogLag(1_200, 34_498), 9: ChangelogLag(50, 3)},
)


def value(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"store_uptime_{name}", labels)


def test_two_workers_of_one_process_count_apart() -> None:
    one, other = WorkerMetrics(), WorkerMetrics()
    one.rebalanced()
    assert value(one, "rebalances_total") == 1
    assert value(other, "rebalances_total") == 0


def test_a_restore_is_shown_while_it_lasts_and_its_time_is_measured() -> None:
    clock = Clock()
    metrics = WorkerMetrics(clock)
    metrics.read_from(SOURCES)
    metrics.assigned({1, 2})
    assert value(metrics, "restore_done_records", partition="1") == 1200
    assert value(metrics, "restore_to_do_records", partition="1") == 34_498
    clock.now += 3
    metrics.owned({1})
    assert value(metrics, "restore_done_records", partition="1") is None
    assert value(metrics, "owned_partitions") == 1
    assert value(metrics, "assigned_partitions") == 2
    assert value(metrics, "partition_restore_seconds_count") == 1
    assert value(metrics, "partition_restore_seconds_sum") == 3


def test_a_standby_is_shown_with_the_records_that_it_lacks() -> None:
    metrics = WorkerMetrics()
    metrics.read_from(SOURCES)
    metrics.assigned({1, 2})
    assert value(metrics, "standby_lag_records", partition="9") == 3
    assert value(metrics, "standby_lag_records", partition="1") is None
    assert value(metrics, "restore_done_records", partition="9") is None


def test_a_restore_that_a_rebalance_interrupts_counts_from_its_first_assignment() -> None:
    clock = Clock()
    metrics = WorkerMetrics(clock)
    metrics.assigned({1, 2})
    clock.now += 2
    metrics.owned(())
    metrics.assigned({1})
    clock.now += 2
    metrics.owned({1})
    assert value(metrics, "partition_restore_seconds_sum") == 4


def test_a_partition_that_stays_owned_is_not_restored_again() -> None:
    metrics = WorkerMetrics()
    metrics.assigned({1})
    metrics.owned({1})
    metrics.assigned({1, 2})
    metrics.owned({1, 2})
    assert value(metrics, "partition_restore_seconds_count") == 2


def test_a_worker_is_ready_when_it_is_assigned_no_partitions_and_not_before_an_assignment() -> None:
    metrics = WorkerMetrics()
    assert metrics.not_ready() == "the group has not assigned any partitions to this worker yet"
    metrics.assigned(())
    assert metrics.not_ready() is None


def test_not_ready_names_the_partitions_that_are_missing_and_how_far_they_are() -> None:
    metrics = WorkerMetrics()
    metrics.assigned({1, 2, 3})
    metrics.read_from(SOURCES)
    metrics.owned({3})
    assert metrics.not_ready() == (
        "2 of 3 partitions are not owned yet: partition 1 has restored 1,200 of 35,698 changelog "
        "records; partition 2 waits"
    )
    metrics.owned({1, 2, 3})
    assert metrics.not_ready() is None


def test_a_fencing_is_counted() -> None:
    metrics = WorkerMetrics()
    metrics.fenced()
    assert value(metrics, "fencings_total") == 1


def test_every_reason_of_a_removal_begins_at_zero() -> None:
    metrics = WorkerMetrics()
    assert value(metrics, "removed_databases_total", reason="diverged") == 0
    metrics.database_removed("diverged")
    assert value(metrics, "removed_databases_total", reason="diverged") == 1


def test_lag_and_the_changelog_are_read_when_metrics_are_requested() -> None:
    metrics = WorkerMetrics()
    assert value(metrics, "unowned_partitions") is None
    metrics.read_from(SOURCES)
    assert value(metrics, "source_lag_records", topic=STATUS, partition="3") == 7
    assert value(metrics, "source_lag_seconds", topic=STATUS, partition="3") == 1.5
    assert value(metrics, "source_lag_records", topic=STATUS, partition="4") == 2
    assert value(metrics, "source_lag_seconds", topic=STATUS, partition="4") is None
    assert value(metrics, "unowned_partitions") == 2
    assert value(metrics, "changelog_unacknowledged_records") == 5
    assert value(metrics, "changelog_unacknowledged_bytes") == 1234


def test_a_topic_of_another_product_makes_no_label_of_its_own() -> None:
    metrics = WorkerMetrics()
    metrics.records_unread("store-status", 3)
    metrics.records_unread("somebody-elses")
    assert value(metrics, "unread_records_total", topic="store-status") == 3
    assert value(metrics, "unread_records_total", topic="other") == 1


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ({"topic": STATUS, "partition": 1, "offset": 2}, STATUS),
        ({"topic": "somebody-elses", "partition": 1, "offset": 2}, "other"),
        ({"http": "a uuid", "path": "/status"}, "http"),
        ({}, "other"),
    ],
)
def test_a_dead_letter_counts_by_where_it_came_from(source: dict[str, Any], label: str) -> None:
    metrics = WorkerMetrics()
    metrics.dead_letter(DeadLetter(source, "status is missing", b""))
    assert value(metrics, "dead_letters_total", source=label, reason="invalid") == 1


def test_a_range_that_cannot_be_read_counts_once_as_a_dead_letter_and_by_its_records() -> None:
    metrics = WorkerMetrics()
    batch = UnreadableRecords(STATUS, 1, 5, 3, 12, 0, "no such codec")
    metrics.dead_letter(dead_letter_of(batch, batch.reason))
    assert value(metrics, "dead_letters_total", source=STATUS, reason="unreadable") == 1
    assert value(metrics, "unread_records_total", topic=STATUS) == 10


def test_the_exposition_is_prometheus_text_with_the_process_in_it() -> None:
    text = WorkerMetrics().exposition().decode()
    assert "# TYPE store_uptime_rebalances_total counter" in text
    assert "process_resident_memory_bytes" in text
    assert 'store_uptime_build_info{version="' in text
