"""Worker, API, `explain` and the replay of dead letters find the same newest record of a store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from api.stores.view import StoreView
from producers.dead_letters.replay import newest_records
from stream_app.contracts.topics import STORE_TIMEZONES
from stream_app.explain.source_records import read_source_records
from stream_app.worker.agents.event_processor import EventProcessor
from stream_app.worker.agents.ingest import Ingest
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.facts.keys import TIMEZONE_TAG, decode_fact, store_key
from stream_app.worker.latest_polls import LatestPollPublisher
from stream_app.worker.metrics import WorkerMetrics
from tests.agent_fakes import (
    PARTITIONS,
    Failures,
    FakeEvent,
    FakeFacts,
    FakeGaps,
    FakeOwnedPartitions,
    FakeStream,
    RecordingPublisher,
    settings_with,
)
from tests.store_log import OTHERS, OWN, STORE, StoreLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiokafka import TopicPartition

    from tests.fake_record import FakeRecord

SETTINGS = settings_with()


class Log:
    """The log of the store's partition, for readers of ranges; the other topics are empty."""

    def __init__(self, own: Sequence[FakeRecord]) -> None:
        self._own = own

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        return 0, len(self._own) if partition.topic == STORE_TIMEZONES.name else 0

    async def records(self, _: TopicPartition, first: int, end: int) -> AsyncIterator[FakeRecord]:
        for record in self._own[first:end]:
            yield record


async def _never_sought(_partition: TopicPartition, _offset: int) -> None:
    raise AssertionError


async def in_the_table(own: Sequence[FakeRecord]) -> str | None:
    facts = FakeFacts()
    owned_partitions = FakeOwnedPartitions(facts)
    owned_partitions.own(OWN)
    publisher = RecordingPublisher()
    gaps = FakeGaps()
    events = EventProcessor(owned_partitions, CommitTracker(), gaps, _never_sought, Failures())
    latest = LatestPollPublisher(publisher)
    ingest = Ingest(SETTINGS, events, owned_partitions, publisher, latest, WorkerMetrics())
    last = own[-1]
    chunk = SimpleNamespace(
        records=own, topic=last.topic, partition=last.partition, offset=last.offset
    )
    await ingest.timezones(FakeStream([FakeEvent(chunk)]))
    _, timezone = decode_fact(facts.get(OWN, store_key(STORE) + TIMEZONE_TAG))
    return None if timezone is None else timezone.decode()


def in_the_api(records: Sequence[FakeRecord]) -> str | None:
    view = StoreView(Path(":memory:"), PARTITIONS)
    try:
        for record in records:
            view.on_record(record)
        entry = view.get(STORE)
        return None if entry is None else entry.timezone
    finally:
        view.close()


async def in_the_source_records(own: Sequence[FakeRecord]) -> str | None:
    reported: Any = SimpleNamespace(store_id=STORE, partition=OWN)
    records = await read_source_records(Log(own), reported, SETTINGS.future_tolerance, 0)
    return records.timezones[-1].name


async def in_the_replay_of_dead_letters(own: Sequence[FakeRecord]) -> str:
    reader: Any = Log(own)
    newest = await newest_records(SETTINGS, reader, STORE_TIMEZONES, {STORE})
    content: Any = newest[STORE].content
    return str(content.timezone)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, OTHERS[-1]), st.integers(0, 2)),
        min_size=1,
        max_size=20,
    )
)
def test_all_readers_find_the_record_with_the_latest_append_time(
    steps: list[tuple[bool, int, int]],
) -> None:
    log = StoreLog()
    for sent, partition, passed in steps:
        if sent:
            log.send(partition, passed=passed)
        else:
            log.forward(partition, passed=passed)
    log.forward_all()
    log.read_again(OTHERS[0], 0)
    log.forward_all()
    if not log.own:
        return

    everywhere = [record for partition in (*OTHERS, OWN) for record in log.records[partition]]
    assert in_the_api(everywhere) == log.newest
    assert asyncio.run(in_the_table(log.own)) == log.newest
    assert asyncio.run(in_the_source_records(log.own)) == log.newest
    assert asyncio.run(in_the_replay_of_dead_letters(log.own)) == log.newest
