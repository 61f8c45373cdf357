"""The newest record of a store counts, on whichever partitions its records were sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.revisions import (
    ORIGIN_HEADER,
    REVISION_BYTES,
    RecordOrigin,
    Revision,
    decode_revision,
    encode_origin,
    encode_revision,
    forwarded_key,
    origin_of,
)
from stream_app.contracts.stores import decode_timezone
from tests.fake_record import FakeRecord
from tests.store_log import OTHERS, OWN, STORE, StoreLog, compacted

if TYPE_CHECKING:
    from collections.abc import Iterable

OTHER = OTHERS[0]


class Reader:
    """The timezone of a store, as a reader of its partition's log applies the records."""

    def __init__(self) -> None:
        self.zone: str | None = None
        self.revision: Revision | None = None
        self.writes = 0

    def read(self, records: Iterable[FakeRecord]) -> str | None:
        for record in records:
            revision = Revision.of(record).superseding(self.revision)
            if revision is not None:
                self.revision = decode_revision(encode_revision(revision))
                self.zone = decode_timezone(record.value).timezone
                self.writes += 1
        return self.zone


# -- any order of sending, forwarding and reading again

passed = st.integers(0, 2)
"""Milliseconds that pass between two steps; many records share one."""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, OTHERS[-1]), passed),
        st.tuples(st.just("forward"), st.sampled_from(OTHERS), passed),
        st.tuples(st.just("read_again"), st.sampled_from(OTHERS), st.integers(0, 3)),
        st.tuples(st.just("read"), st.integers(0, 30), passed),
    ),
    max_size=40,
)


@given(steps)
def test_the_record_with_the_latest_append_time_counts(steps: list[tuple[str, int, int]]) -> None:
    log, reader = StoreLog(), Reader()
    for what, number, other in steps:
        match what:
            case "send":
                log.send(number, passed=other)
            case "forward":
                log.forward(number, passed=other)
            case "read_again":
                log.read_again(number, other)
            case _:
                # from any offset, since the offsets of a group may go back
                reader.read(log.own[min(number, len(log.own)) :] if reader.writes else log.own)
    log.forward_all()

    read_once = Reader()
    assert (read_once.read(log.own) or "") == log.newest
    assert (reader.read(log.own) or "") == log.newest
    assert (Reader().read(compacted(log.own)) or "") == log.newest


origins = st.builds(
    RecordOrigin,
    st.integers(990, 1_050),
    st.integers(0, OTHERS[-1]),
    st.integers(0, 4) | st.just(1 << 60),
)


@given(steps, st.lists(st.tuples(st.integers(0, 40), origins)))
def test_reading_and_forwarding_again_writes_nothing(
    steps: list[tuple[str, int, int]], forged: list[tuple[int, RecordOrigin]]
) -> None:
    """This holds even where a client writes the header of a worker."""
    log, reader = StoreLog(), Reader()
    for step, (what, number, other) in enumerate(steps):
        for at, claimed in forged:
            if at == step:
                log.forge(claimed)
        if what == "send":
            log.send(number, passed=other)
        elif what == "forward":
            log.forward(number, passed=other)
    log.forward_all()
    reader.read(log.own)
    zone, writes = reader.zone, reader.writes

    for partition in OTHERS:
        log.read_again(partition, 0)
    log.forward_all()
    reader.read(log.own)
    reader.read(compacted(log.own))

    assert (reader.zone, reader.writes) == (zone, writes)


@given(st.lists(st.tuples(st.integers(0, OTHERS[-1]), st.integers(-500, 500))))
def test_the_last_record_on_the_right_partition_counts_whatever_the_clock_does(
    sent: list[tuple[int, int]],
) -> None:
    log, reader = StoreLog(), Reader()
    for partition, moved in sent:
        name = log.send(partition, passed=moved)
        log.forward_all()
        zone = reader.read(log.own)
        if partition == OWN:
            assert zone == name
            assert reader.read(log.own) == name


# -- single cases


def test_an_older_record_that_is_forwarded_later_does_not_count() -> None:
    log = StoreLog()
    log.send(OTHER)
    right = log.send(OWN, passed=1)
    log.forward(OTHER, passed=1)
    assert Reader().read(log.own) == right


def test_a_newer_record_on_a_wrong_partition_counts() -> None:
    log = StoreLog()
    log.send(OWN)
    right = log.send(OTHER, passed=1)
    log.forward(OTHER)
    assert Reader().read(log.own) == right


@pytest.mark.parametrize("first", [OWN, OTHER])
def test_within_one_millisecond_the_record_on_the_right_partition_counts(first: int) -> None:
    log = StoreLog()
    names = {partition: log.send(partition) for partition in (first, OWN + OTHER - first)}
    log.forward(OTHER)
    assert Reader().read(log.own) == names[OWN]


def test_the_later_record_of_two_wrong_partitions_counts() -> None:
    log = StoreLog()
    log.send(OTHERS[0])
    right = log.send(OTHERS[1], passed=1)
    log.forward(OTHERS[1])
    log.forward(OTHERS[0], passed=1)
    assert Reader().read(log.own) == right


def test_the_last_of_several_records_on_a_wrong_partition_counts() -> None:
    log = StoreLog()
    log.send(OTHER)
    right = log.send(OTHER)
    log.forward_all()
    reader = Reader()
    assert reader.read(log.own) == right
    log.read_again(OTHER, 0)
    log.forward(OTHER)
    assert reader.read(log.own) == right


def test_offsets_decide_on_a_wrong_partition_where_the_clock_goes_back() -> None:
    log = StoreLog()
    log.clock += 50
    log.send(OTHER)
    right = log.send(OTHER, passed=-20)
    log.clock += 100
    log.forward_all()
    assert Reader().read(log.own) == right


def test_a_repeated_content_counts_over_the_records_in_between() -> None:
    log = StoreLog()
    log.send(OWN)
    log.send(OTHER, passed=1)
    right = log.send(OWN, passed=1)
    log.own[1] = replace(log.own[1], value=log.own[0].value)
    log.forward(OTHER)
    reader = Reader()
    reader.read(log.own)
    assert right
    assert reader.zone == "Zone/1"


def test_a_fact_of_an_earlier_version_is_replaced_and_reading_from_the_beginning_is_right() -> None:
    """Tables of earlier versions have no record of where a fact was read."""
    log = StoreLog()
    log.send(OTHER)
    right = log.send(OWN, passed=1)
    log.forward(OTHER, passed=1)
    reader = Reader()
    reader.zone = "of an earlier version"
    assert reader.read(log.own) == right


def test_a_forged_record_that_is_read_again_changes_nothing() -> None:
    log, reader = StoreLog(), Reader()
    log.forge(RecordOrigin(4_000, OTHER, 1 << 60))
    log.send(OWN, passed=1)
    right = log.send(OTHER, passed=1)
    log.forward(OTHER)
    assert reader.read(log.own) == right
    assert reader.read(log.own) == right


def test_a_topic_that_was_created_again_counts_although_its_offsets_begin_again() -> None:
    log = StoreLog()
    for _ in range(5):
        log.send(OWN, passed=1)
    reader = Reader()
    reader.read(log.own)
    log.records.clear()
    for _ in range(2):
        name = log.send(OWN, passed=1)
        assert reader.read(log.own) == name


# -- the header, which any client may write


def forged(**claimed: Any) -> FakeRecord:
    """Return a record at 2000 ms with a header that no worker wrote."""
    origin = {"append_time_ms": 1500, "partition": OTHER, "offset": 3} | claimed
    return carrying(orjson.dumps(origin))


def carrying(header: Any, at: int = 2000, offset: int = 7) -> FakeRecord:
    return FakeRecord(
        "topic",
        b"value",
        partition=OWN,
        offset=offset,
        timestamp=at,
        key=b"key",
        headers=[(ORIGIN_HEADER, header)],
    )


SENT_THERE = Revision(7, 2000)


def test_an_origin_is_read_back() -> None:
    origin = RecordOrigin(1500, OTHER, 3)
    assert Revision.of(carrying(encode_origin(origin))) == Revision(7, 1500, (OTHER, 3))


def test_the_origin_is_where_the_record_was_read() -> None:
    """The header of a client is dropped when its record is forwarded."""
    record = replace(forged(append_time_ms=1), partition=OTHERS[1])
    assert origin_of(record) == RecordOrigin(2000, OTHERS[1], 7)


def test_a_time_later_than_the_records_own_is_not_believed() -> None:
    assert Revision.of(forged(append_time_ms=9000)) == Revision(7, 2000, (OTHER, 3))


@pytest.mark.parametrize(
    "record",
    [
        forged(partition=OWN),
        forged(partition=OWN, offset=1 << 60),
        forged(partition=-1),
        forged(partition=1 << 31),
        forged(offset=1 << 63),
        forged(offset=-1),
        forged(offset=2.5),
        forged(offset=True),
        forged(append_time_ms=-1),
        forged(append_time_ms="now"),
        forged(append_time_ms=None),
        forged(more=1),
        carrying(b""),
        carrying(None),
        carrying(b"\xff\x00"),
        carrying(b"[1,2,3]"),
        carrying(b"{}"),
        carrying(b"7"),
        carrying(b"[" * 5000),
    ],
)
def test_a_header_that_no_worker_can_have_written_is_ignored(record: FakeRecord) -> None:
    assert Revision.of(record) == SENT_THERE


@pytest.mark.parametrize(
    "record",
    [
        forged(append_time_ms=(1 << 63) - 1, offset=(1 << 63) - 1),
        forged(offset=(1 << 63) - 1),
        forged(partition=OWN, offset=(1 << 63) - 1, append_time_ms=(1 << 63) - 1),
    ],
)
def test_no_header_stops_a_later_record(record: FakeRecord) -> None:
    """A later record counts both on the right partition and after it was forwarded."""
    current = Revision.of(record).superseding(None)
    for later in (
        FakeRecord("topic", b"value", partition=OWN, offset=8, timestamp=2000, key=b"key"),
        carrying(encode_origin(RecordOrigin(2001, OTHER, 4)), at=2002, offset=8),
        carrying(encode_origin(RecordOrigin(2001, OTHERS[1], 0)), at=2002, offset=8),
    ):
        assert Revision.of(later).superseding(current) is not None


# -- forms


@given(
    st.builds(
        Revision,
        st.integers(0, (1 << 63) - 1),
        st.integers(-1, (1 << 63) - 1),
        st.none() | st.tuples(st.integers(0, (1 << 31) - 1), st.integers(0, (1 << 63) - 1)),
    )
)
def test_revisions_read_back(revision: Revision) -> None:
    encoded = encode_revision(revision)
    assert len(encoded) == REVISION_BYTES
    assert decode_revision(encoded) == revision


def test_a_forwarded_record_has_a_key_of_its_own() -> None:
    keys = {forwarded_key(STORE, RecordOrigin(5, partition, 9)) for partition in OTHERS}
    assert keys == {f"{STORE}@{partition}" for partition in OTHERS}
