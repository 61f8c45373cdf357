"""The gateway of the API knows whether it is ready, and leaves no file behind."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from api.gateway import Gateway
from stream_app.contracts.topics import SOURCE_TOPICS
from stream_app.kafka.applied_offsets import AppliedOffsets
from tests.fakes import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from aiokafka import TopicPartition

REASON = "stores cannot be read: TopicAuthorizationFailedError('stores')"


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    gateway = Gateway(SETTINGS, lambda: 0)

    async def fetch(_: Any) -> dict[Any, int]:
        return {}

    gateway._connection._unavailable_reason = None
    monkeypatch.setattr(gateway._end_offset_fetcher, "fetch", fetch)
    monkeypatch.setattr(gateway._applied_offsets, "unowned", list)
    return gateway


async def test_the_api_is_ready_when_nothing_is_wrong(gateway: Gateway) -> None:
    assert await gateway.readiness.unavailable_reason() is None


@pytest.mark.parametrize("number", range(4))
async def test_the_api_is_not_ready_while_a_topic_cannot_be_read(
    gateway: Gateway, number: int
) -> None:
    followed = gateway.readiness._topic_readers[number]
    tail = followed._tail if isinstance(followed, AppliedOffsets) else followed
    tail._trouble = REASON
    assert await gateway.readiness.unavailable_reason() == REASON
    tail._trouble = None
    assert await gateway.readiness.unavailable_reason() is None


async def test_one_question_to_the_brokers_serves_the_monitor_and_the_age_of_the_data(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[list[TopicPartition]] = []

    async def fetch(partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        questions.append(partitions)
        return dict.fromkeys(partitions, 0)

    monkeypatch.setattr(gateway._end_offset_fetcher, "fetch", fetch)
    monkeypatch.setattr(gateway._applied_offsets, "has_applied", lambda _: True)
    await gateway._broker_monitor.check()
    assert [{partition.topic for partition in question} for question in questions] == [
        {topic.name for topic in SOURCE_TOPICS}
    ]
    assert gateway._data_age.now().as_of == 0


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_no_file_is_left_behind_however_the_api_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gateway = Gateway(SETTINGS, lambda: 0)
    assert names_in(tmp_path) == [], "its files have no name that could outlive it"
    database = gateway._store_view.database
    # more than is held in memory
    database.execute("PRAGMA cache_size = 10")
    ids = [(str(UUID(int=number)), b"x" * 1000) for number in range(5000)]
    database.executemany("INSERT INTO store (store_id, figures) VALUES (?, ?)", ids)
    assert database.execute("SELECT count(*), sum(length(figures)) FROM store").fetchone() == (
        5000,
        5_000_000,
    )
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert names_in(tmp_path) == []
    gateway._store_view.close()
    gateway._report_view.close()
