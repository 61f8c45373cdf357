"""The brokers give a group's commits, the bounds of its partitions, and the ids of its topics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaConnectionError

from stream_app.contracts.topics import APP_ID, CONSUMED_TOPICS, STORE_STATUS
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import start_offsets as module
from stream_app.kafka.log_reader import LogReader
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.kafka.start_offsets import GroupOffsetsReader
from tests.agent_fakes import settings_with

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import TopicPartition

TOPICS = [spec.name for spec in CONSUMED_TOPICS]


class Admin:
    """The committed offsets of a group, for an administrator."""

    def __init__(self) -> None:
        self.committed: dict[tuple[str, int], int] = {}
        self.error: Exception | None = None
        self.closed = 0

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        self.closed += 1

    async def list_consumer_group_offsets(self, group: str, *, partitions: list[Any]) -> Any:
        assert group == APP_ID
        if self.error is not None:
            raise self.error
        return {tp: SimpleNamespace(offset=self.committed.get(tp, -1)) for tp in partitions}


class FakeLogReader(LogReader):
    """A log reader with a fixed beginning for every partition."""

    def __init__(self) -> None:
        pass

    async def beginning(self, topic: str, partition: int) -> int:
        return 10 + partition + 100 * TOPICS.index(topic)


class FakeEndOffsetFetcher(EndOffsetFetcher):
    """Returns a fixed end offset for every partition."""

    def __init__(self) -> None:
        pass

    async def fetch(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: 50 + tp.partition + 100 * TOPICS.index(tp.topic) for tp in partitions}


def new_reader() -> GroupOffsetsReader:
    return GroupOffsetsReader(
        settings_with(),
        FakeLogReader(),
        FakeEndOffsetFetcher(),
    )


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    admin = Admin()
    monkeypatch.setattr(module, "AIOKafkaAdminClient", lambda **_: admin)

    async def describe(_: Any, names: list[str]) -> dict[str, Any]:
        return {name: SimpleNamespace(id=f"id of {name}") for name in names} | {
            STORE_STATUS.name: SimpleNamespace(id=None)
        }

    monkeypatch.setattr(module, "describe_topics", describe)
    return admin


@pytest.fixture
async def offsets(admin: Admin) -> GroupOffsetsReader:  # noqa: ARG001  the reader uses it
    reader = new_reader()
    await reader.start()
    return reader


async def test_committed_offsets_are_read_and_missing_ones_left_out(
    offsets: GroupOffsetsReader, admin: Admin
) -> None:
    admin.committed = {(STORE_STATUS.name, 1): 30, (STORE_STATUS.name, 3): 0}

    group = await offsets.read([1, 3])

    assert group.committed == {(STORE_STATUS.name, 1): 30, (STORE_STATUS.name, 3): 0}


async def test_each_partition_has_its_own_beginning_and_end(offsets: GroupOffsetsReader) -> None:
    group = await offsets.read([1, 3])

    places = {(topic, partition) for topic in TOPICS for partition in (1, 3)}
    assert set(group.beginnings) == set(group.ends) == places
    for topic, partition in places:
        assert group.beginnings[topic, partition] == 10 + partition + 100 * TOPICS.index(topic)
        assert group.ends[topic, partition] == 50 + partition + 100 * TOPICS.index(topic)


async def test_a_topic_id_that_the_brokers_do_not_know_is_left_out(
    offsets: GroupOffsetsReader,
) -> None:
    group = await offsets.read([1])

    assert group.topic_ids == {
        topic: f"id of {topic}" for topic in TOPICS if topic != STORE_STATUS.name
    }


async def test_brokers_that_are_away_are_an_error(
    offsets: GroupOffsetsReader, admin: Admin
) -> None:
    admin.error = KafkaConnectionError("gone")

    with pytest.raises(BrokerUnavailableError):
        await offsets.read([1])


async def test_a_stop_closes_the_connection(offsets: GroupOffsetsReader, admin: Admin) -> None:
    await offsets.stop()
    await new_reader().stop()

    assert admin.closed == 1
