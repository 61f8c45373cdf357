"""A removal deletes all earlier records of a store, in any order of records and repetitions."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.stores.view import StoreView
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.removal import encode_removal
from stream_app.contracts.revisions import (
    ORIGIN_HEADER,
    RecordOrigin,
    encode_origin,
    forwarded_key,
    origin_of,
)
from stream_app.contracts.stores import StoreRecord, encode_store, encode_timezone
from stream_app.contracts.topics import (
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    STORES,
)
from stream_app.domain.polls import from_bytes
from stream_app.domain.timestamps import WEEK
from stream_app.explain.source_records import read_source_records
from stream_app.worker.agents.event_processor import EventProcessor
from stream_app.worker.agents.ingest import Ingest
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    TIMEZONE_TAG,
    bucket_of,
    decode_fact,
    store_key,
    why_stray,
)
from stream_app.worker.facts.partition_records import SourcePosition
from stream_app.worker.facts.summary import summarize
from stream_app.worker.latest_polls import LatestPollPublisher
from stream_app.worker.metrics import WorkerMetrics
from tests.agent_fakes import (
    NOW,
    PARTITIONS,
    Failures,
    FakeEvent,
    FakeFacts,
    FakeGaps,
    FakeOwnedPartitions,
    FakeStream,
    RecordingPublisher,
    settings_with,
    settle,
    store_in,
)
from tests.fake_record import FakeRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from aiokafka import TopicPartition

    from stream_app.settings import Settings
    from stream_app.worker.facts.summary import PartitionSummary

SETTINGS = settings_with()
STORE = store_in(0)
KEY = store_key(STORE)
OWN = partition_of(STORE.encode(), PARTITIONS)
OTHER = OWN + 1
TAGS = {STORE_BUSINESS_HOURS.name: HOURS_TAG, STORE_TIMEZONES.name: TIMEZONE_TAG}


class Logs:
    """The source topics, of which clients write two partitions and a worker forwards one.

    Attributes:
        records: the records by topic and partition.
        clock: the brokers' time, ms; each record has another one.
    """

    def __init__(self) -> None:
        self.records: defaultdict[tuple[str, int], list[FakeRecord]] = defaultdict(list)
        self.clock = NOW // 1000
        self._forwarded: defaultdict[str, int] = defaultdict(int)

    def own(self, topic: str) -> list[FakeRecord]:
        return self.records[topic, OWN]

    def send(self, topic: str, partition: int, value: bytes | None) -> FakeRecord:
        return self._append(topic, partition, STORE.encode(), value)

    def forward(self, topic: str) -> bool:
        position = self._forwarded[topic]
        log = self.records[topic, OTHER]
        if position == len(log):
            return False
        self._forwarded[topic] += 1
        record = log[position]
        origin = origin_of(record)
        key = STORE if topic == STORE_STATUS.name else forwarded_key(STORE, origin)
        header = (ORIGIN_HEADER, encode_origin(origin))
        self._append(topic, OWN, key.encode(), record.value, [header])
        return True

    def forward_all(self) -> None:
        for spec in SOURCE_TOPICS:
            while self.forward(spec.name):
                pass

    def forward_again(self) -> None:
        """Let the worker of the other partition forward all its records again."""
        self._forwarded.clear()

    def _append(
        self,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> FakeRecord:
        self.clock += 1
        log = self.records[topic, partition]
        record = FakeRecord(
            topic,
            value,
            partition=partition,
            offset=len(log),
            timestamp=self.clock,
            key=key,
            headers=headers,
        )
        log.append(record)
        return record


class Database:
    """The stored facts, as `summarize` reads them."""

    def __init__(self, facts: FakeFacts) -> None:
        self._facts = facts

    def facts(self) -> Iterator[tuple[bytes, bytes]]:
        for (_, key), value in sorted(self._facts.content.items()):
            if value is not None:
                assert why_stray(key, value) is None
                yield key, value


def summary_of(facts: FakeFacts) -> PartitionSummary:
    return asyncio.run(summarize(Database(facts)))  # type: ignore[arg-type]


class Worker:
    """The owner of the store's partition, and its table.

    Attributes:
        facts: the content of its table.
        publisher: the records that it published.
    """

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self._settings = settings
        self.facts = FakeFacts()
        self.publisher = RecordingPublisher()
        self.start()

    def start(self) -> None:
        """Start again with nothing but the table."""
        self.summary = summary_of(self.facts)
        publisher: Any = self.publisher
        self.owned_partitions = FakeOwnedPartitions(self.facts)
        owned = self.owned_partitions.own(OWN, *self.summary.stores)
        owned.bucket_kinds, owned.removals = self.summary.bucket_kinds, self.summary.removals
        owned.newest_poll = self.summary.newest_poll
        self.latest = LatestPollPublisher(publisher)
        self.latest.adopt(OWN, self.summary.newest_polls)
        self.failures = Failures()
        owned_partitions: Any = self.owned_partitions
        gaps: Any = FakeGaps()
        events = EventProcessor(
            owned_partitions, CommitTracker(), gaps, _never_sought, self.failures
        )
        self.ingest = Ingest(
            self._settings, events, owned_partitions, publisher, self.latest, WorkerMetrics()
        )

    def read(self, records: Sequence[FakeRecord]) -> None:
        """Apply records of one topic that came together."""
        if not records:
            return
        last = records[-1]
        chunk = SimpleNamespace(
            records=records, topic=last.topic, partition=last.partition, offset=last.offset
        )
        agents = {
            STORE_STATUS.name: self.ingest.polls,
            STORE_BUSINESS_HOURS.name: self.ingest.business_hours,
            STORE_TIMEZONES.name: self.ingest.timezones,
        }

        async def apply() -> None:
            await agents[last.topic](FakeStream([FakeEvent(chunk)]))
            await settle()

        asyncio.run(apply())
        assert self.failures.errors == []
        assert self.publisher.dead_letters == []

    def read_all(self, logs: Logs) -> None:
        for spec in SOURCE_TOPICS:
            self.read(logs.own(spec.name))

    def state(self) -> dict[str, Any]:
        """Return the stored facts of the store, and whether it exists."""
        content = dict(Database(self.facts).facts())
        polls = {
            poll
            for key, value in content.items()
            if bucket_of(key) is not None
            for poll in from_bytes(value)
        }
        facts = {topic: decode_fact(content.get(KEY + tag))[1] for topic, tag in TAGS.items()}
        return {
            "polls": polls,
            **facts,
            "exists": KEY in summary_of(self.facts).stores,
            "newest": self.owned_partitions.partitions[OWN].newest_poll,
            "latest": self.latest.newest(OWN),
        }


async def _never_sought(_partition: TopicPartition, _offset: int) -> None:
    raise AssertionError


def poll(instant: int, *, active: bool = True) -> bytes:
    return encode_poll_batch(STORE, [(NOW - instant * WEEK // 7, active)])


POLLS = st.integers(0, 390)
"""Ages of polls in days, all within the retention."""
VALUES = {
    STORE_BUSINESS_HOURS.name: st.one_of(
        st.none(), st.integers(0, 6).map(lambda day: encode_hours(STORE, [(day, "09:00", "17:00")]))
    ),
    STORE_TIMEZONES.name: st.one_of(
        st.none(), st.integers(0, 3).map(lambda number: encode_timezone(STORE, f"Zone/{number}"))
    ),
}
SENT = st.one_of(
    # what a client sends to one of the two partitions
    st.tuples(st.just(STORE_STATUS.name), st.booleans(), st.tuples(POLLS, st.booleans())),
    st.tuples(st.just(STORE_STATUS.name), st.just(True), st.none()),
    *(st.tuples(st.just(topic), st.booleans(), values) for topic, values in VALUES.items()),
    # what the worker of the other partition forwards
    st.tuples(st.sampled_from([spec.name for spec in SOURCE_TOPICS]), st.none(), st.none()),
)


class Model:
    """The facts of the store that follow from the brokers' time alone."""

    def __init__(self) -> None:
        self.polls: dict[int, bool] = {}
        self.facts: dict[str, bytes | None] = {}

    def sent(self, topic: str, value: Any) -> None:
        if topic != STORE_STATUS.name:
            self.facts[topic] = value
        elif value is None:
            self.polls = {}
        else:
            instant, active = value
            self.polls[instant] = self.polls.get(instant, True) and active

    @property
    def exists(self) -> bool:
        return bool(self.polls) or any(value is not None for value in self.facts.values())


def sent_by(steps: Sequence[tuple[str, bool | None, Any]], logs: Logs, model: Model) -> None:
    for topic, own, value in steps:
        if own is None:
            logs.forward(topic)
            continue
        record = value
        if topic == STORE_STATUS.name:
            record = encode_removal(STORE) if value is None else poll(value[0], active=value[1])
        logs.send(topic, OWN if own else OTHER, record)
        model.sent(topic, value)
    logs.forward_all()


def assert_agrees(worker: Worker, model: Model) -> None:
    state = worker.state()
    newest = max((NOW - instant * WEEK // 7 for instant in model.polls), default=None)
    assert {poll >> 1 for poll in state["polls"]} == {
        NOW - instant * WEEK // 7 for instant in model.polls
    }
    assert {poll >> 1: bool(poll & 1) for poll in sorted(state["polls"], reverse=True)} == {
        NOW - instant * WEEK // 7: active for instant, active in model.polls.items()
    }
    for topic in TAGS:
        assert (state[topic] is None) == (model.facts.get(topic) is None)
    assert state["exists"] == model.exists
    # the fake of the owned partitions stores no newest poll
    assert state["latest"] == newest


@given(st.lists(SENT, max_size=25), st.lists(st.integers(0, 40), max_size=6), st.randoms())
def test_all_records_before_a_removal_are_deleted_in_any_order(
    steps: list[tuple[str, bool | None, Any]], again: list[int], rng: Any
) -> None:
    logs, model = Logs(), Model()
    sent_by(steps, logs, model)
    worker = Worker()
    for spec in SOURCE_TOPICS:
        log, position = logs.own(spec.name), 0
        while position < len(log):
            end = position + rng.randrange(1, 6)
            worker.read(log[position:end])
            position = end
            if rng.random() < 0.2:
                # after a kill or a rebalance the worker reads some records again
                worker.start()
                position = max(0, position - rng.randrange(8))
    for position in again:
        for spec in SOURCE_TOPICS:
            worker.read(logs.own(spec.name)[position:])
    worker.start()
    assert_agrees(worker, model)

    logs.forward_again()
    logs.forward_all()
    worker.read_all(logs)
    assert_agrees(worker, model)

    # a table that is built from the topics again has the same facts
    rebuilt = Worker()
    rebuilt.read_all(logs)
    assert rebuilt.state() | {"newest": None} == worker.state() | {"newest": None}
    assert asyncio.run(in_the_source_records(logs)) == {
        poll >> 1 for poll in worker.state()["polls"]
    }


class Reader:
    """The logs of the store's partition, for readers of ranges."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        return 0, len(self._logs.own(partition.topic))

    async def records(
        self, partition: TopicPartition, first: int, end: int
    ) -> AsyncIterator[FakeRecord]:
        for record in self._logs.own(partition.topic)[first:end]:
            yield record


async def in_the_source_records(logs: Logs) -> set[int]:
    reported: Any = SimpleNamespace(store_id=STORE, partition=OWN, start=0, end=NOW, lookback=0)
    source_records = await read_source_records(
        Reader(logs), reported, SETTINGS.future_tolerance, SETTINGS.earliest_poll
    )
    return {seen.instant for seen in source_records.polls_below(source_records.end)}


@given(st.lists(st.tuples(st.booleans(), st.one_of(st.none(), POLLS)), max_size=20), st.randoms())
def test_a_removal_on_a_wrong_partition_counts_once_however_often_it_is_forwarded(
    steps: list[tuple[bool, int | None]], rng: Any
) -> None:
    logs = Logs()
    for own, instant in steps:
        value = encode_removal(STORE) if instant is None else poll(instant)
        logs.send(STORE_STATUS.name, OWN if own else OTHER, value)
        if rng.random() < 0.5:
            logs.forward(STORE_STATUS.name)
    logs.forward_all()
    worker = Worker()
    worker.read_all(logs)
    before = worker.state()["polls"]
    forwarded = [instant for own, instant in steps if not own]
    if None in forwarded and all(not own for own, _ in steps):
        # a single client that uses one partition: the order of its records counts
        last = len(forwarded) - forwarded[::-1].index(None)
        expected = {
            NOW - instant * WEEK // 7 for instant in forwarded[last:] if instant is not None
        }
        assert {poll >> 1 for poll in before} == expected

    logs.forward_again()
    logs.forward_all()
    worker.read_all(logs)
    worker.start()
    worker.read(logs.own(STORE_STATUS.name))
    assert worker.state()["polls"] == before


def test_a_crash_after_any_write_leads_to_the_same_state_in_the_end() -> None:
    logs = Logs()
    weeks = [
        (NOW - week * WEEK - minute * 60_000_000, True) for week in range(57) for minute in (1, 2)
    ]
    logs.send(STORE_STATUS.name, OWN, encode_poll_batch(STORE, weeks))
    logs.send(STORE_STATUS.name, OWN, poll(1))
    logs.send(STORE_STATUS.name, OWN, encode_removal(STORE))
    logs.send(STORE_STATUS.name, OWN, poll(2))
    log = logs.own(STORE_STATUS.name)
    whole = Worker()
    whole.read(log[:2])
    before = dict(whole.facts.content)
    assert len(before) > 50
    whole.facts.writes.clear()
    values: list[tuple[int, bytes, bytes | None]] = []
    put = whole.facts.put

    def put_and_record(partition: int, key: bytes, value: bytes | None) -> Any:
        values.append((partition, key, value))
        return put(partition, key, value)

    whole.facts.put = put_and_record  # type: ignore[method-assign]
    whole.read(log[2:])
    assert len(values) > 50
    for written in range(len(values) + 1):
        worker = Worker()
        worker.facts.content = dict(before)
        for partition, key, value in values[:written]:
            worker.facts.content[partition, key] = value
        worker.start()
        # the source position is in the changelog after all writes of its records
        worker.read(log[2:])
        worker.start()
        assert worker.state() == whole.state() | {"newest": worker.state()["newest"]}
        assert dict(Database(worker.facts).facts()).keys() == (
            dict(Database(whole.facts).facts()).keys()
        )


def test_a_removed_store_has_no_polls_and_is_published_to_all_views() -> None:
    logs = Logs()
    for instant in range(40):
        logs.send(STORE_STATUS.name, OWN, poll(instant))
    logs.send(STORE_BUSINESS_HOURS.name, OWN, encode_hours(STORE, []))
    logs.send(STORE_TIMEZONES.name, OWN, encode_timezone(STORE, ""))
    worker = Worker()
    worker.read_all(logs)
    assert worker.state()["exists"]

    worker.read([logs.send(STORE_BUSINESS_HOURS.name, OWN, None)])
    worker.read([logs.send(STORE_TIMEZONES.name, OWN, None)])
    assert worker.owned_partitions.removed == []
    worker.read([logs.send(STORE_STATUS.name, OWN, encode_removal(STORE))])

    assert worker.owned_partitions.removed == [KEY]
    assert worker.publisher.latest == [(KEY, None)]
    assert worker.state() == {
        "polls": set(),
        **dict.fromkeys(TAGS),
        "exists": False,
        "newest": None,
        "latest": None,
    }
    summary = summary_of(worker.facts)
    assert (summary.stores, summary.gone_stores, summary.newest_poll) == (set(), {KEY}, None)
    assert len(dict(Database(worker.facts).facts())) == 3

    # the removal of an unknown store creates no store
    other = Worker()
    other.read([logs.send(STORE_STATUS.name, OWN, encode_removal(STORE))])
    assert not other.state()["exists"]


def test_the_newest_poll_of_all_stores_is_one_of_an_existing_store() -> None:
    logs = Logs()
    worker = Worker()
    worker.read([logs.send(STORE_STATUS.name, OWN, poll(3))])
    worker.owned_partitions.partitions[OWN].newest_poll = NOW - 3 * WEEK // 7
    worker.read([logs.send(STORE_STATUS.name, OWN, encode_removal(STORE))])
    assert worker.state()["newest"] is None


@pytest.mark.parametrize(
    "value",
    [
        b'{"store_id":"%s","removed":false}' % STORE.encode(),
        b'{"store_id":"%s","removed":1}' % STORE.encode(),
        b'{"store_id":"%s","removed":true,"status":"active"}' % STORE.encode(),
        b'{"store_id":"7","removed":true}',
        b'{"removed":true}',
    ],
)
def test_a_removal_that_is_not_plain_is_refused(value: bytes) -> None:
    logs = Logs()
    worker = Worker()
    worker.read([logs.send(STORE_STATUS.name, OWN, poll(3))])
    record = logs.send(STORE_STATUS.name, OWN, value)
    with pytest.raises(AssertionError):
        worker.read([record])
    assert len(worker.publisher.dead_letters) == 1
    assert worker.state()["exists"]


@given(st.lists(SENT, max_size=25), st.randoms())
def test_the_view_of_the_api_agrees_in_any_order(
    steps: list[tuple[str, bool | None, Any]], rng: Any
) -> None:
    logs, model = Logs(), Model()
    sent_by(steps, logs, model)
    worker = Worker()
    worker.read_all(logs)
    tombstone, exists = None, encode_store(StoreRecord(STORE))
    values = [exists, exists if model.exists else tombstone]
    logs.records[STORES.name, OWN] = [
        FakeRecord(
            STORES.name, value, partition=OWN, offset=offset, timestamp=0, key=STORE.encode()
        )
        for offset, value in enumerate(values)
    ]
    topics = [STORES.name, *TAGS]
    view = StoreView(Path(":memory:"), PARTITIONS)
    unread = {topic: list(logs.own(topic)) for topic in topics}
    while any(unread.values()):
        topic = rng.choice([topic for topic in topics if unread[topic]])
        view.on_record(unread[topic].pop(0))
    entry = view.get(STORE)
    assert view.exists(STORE) == model.exists == (entry is not None)
    assert view.page("", "", 10) == [STORE] * model.exists
    if entry is not None:
        hours = decode_fact(worker.facts.get(OWN, KEY + HOURS_TAG))[1]
        assert bool(entry.hours) == (hours is not None)
        assert (entry.timezone is None) == (model.facts.get(STORE_TIMEZONES.name) is None)
    view.close()


@pytest.mark.parametrize(
    ("key", "headers", "removed"),
    [
        (STORE.upper().encode(), (), True),
        (STORE.replace("-", "").encode(), (), True),
        (f"{STORE}@{OTHER}".encode(), (), True),
        (f" {STORE}".encode(), (), True),
        (STORE.encode(), [(ORIGIN_HEADER, b"nonsense")], True),
        # a forwarded removal that is older than the hours
        (STORE.encode(), [(ORIGIN_HEADER, encode_origin(RecordOrigin(1, OTHER, 7)))], False),
        (None, (), None),
        (b"", (), None),
        (b"@", (), None),
        (b"\xff\xfe", (), None),
        (b"97dd66d5-660c", (), None),
    ],
    ids=str,
)
def test_the_key_of_a_record_without_a_value_names_the_store(
    key: bytes | None, headers: Sequence[tuple[str, bytes]], removed: bool | None
) -> None:
    logs = Logs()
    worker = Worker()
    worker.read([logs.send(STORE_BUSINESS_HOURS.name, OWN, encode_hours(STORE, []))])
    offset, clock = len(logs.own(STORE_BUSINESS_HOURS.name)), logs.clock + 1
    record = FakeRecord(
        STORE_BUSINESS_HOURS.name,
        None,
        partition=OWN,
        offset=offset,
        timestamp=clock,
        key=key,
        headers=headers,
    )
    if removed is None:
        with pytest.raises(AssertionError):
            worker.read([record])
        assert "its key" in worker.publisher.dead_letters[0].reason
    else:
        worker.read([record])
    assert worker.state()["exists"] == (removed is not True)


def test_a_removal_frees_the_place_of_a_store() -> None:
    other = store_in(OWN, 1)
    logs = Logs()
    worker = Worker(settings_with(max_stores=1))
    worker.read([logs.send(STORE_STATUS.name, OWN, poll(1))])
    worker.owned_partitions.partitions[OWN].stores.add(KEY)
    removal = logs.send(STORE_STATUS.name, OWN, encode_removal(STORE))
    new = logs.send(STORE_STATUS.name, OWN, encode_poll_batch(other, [(NOW, True)]))
    worker.read([removal])
    worker.read([new])
    assert summary_of(worker.facts).stores == {store_key(other)}


def test_a_removal_in_a_deleted_topic_does_not_hide_the_new_topic() -> None:
    logs = Logs()
    worker = Worker()
    owned = worker.owned_partitions.partitions[OWN]
    owned.positions = {STORE_STATUS.name: SourcePosition("old", 0)}
    for instant in range(5):
        worker.read([logs.send(STORE_STATUS.name, OWN, poll(instant))])
    worker.read([logs.send(STORE_STATUS.name, OWN, encode_removal(STORE))])

    owned.positions = {STORE_STATUS.name: SourcePosition("new", 0)}
    worker.read(
        [
            FakeRecord(
                STORE_STATUS.name,
                poll(2),
                partition=OWN,
                offset=0,
                timestamp=NOW // 1000,
                key=STORE.encode(),
            )
        ]
    )
    assert worker.state()["exists"]


def test_polls_that_were_too_old_are_accepted_after_a_removal() -> None:
    """The newest poll, which made them too old, is removed, also where all come together."""
    logs = Logs()
    for instant in (0, 460):
        logs.send(STORE_STATUS.name, OWN, poll(instant))
    removal = logs.send(STORE_STATUS.name, OWN, encode_removal(STORE))
    old = logs.send(STORE_STATUS.name, OWN, poll(450))
    older = logs.send(STORE_STATUS.name, OWN, poll(700))
    for chunks in ([[removal, old, older]], [[removal], [old, older]]):
        worker = Worker()
        worker.read(logs.own(STORE_STATUS.name)[:1])
        for chunk in chunks:
            worker.read(chunk)
        assert len(worker.state()["polls"]) == 2
