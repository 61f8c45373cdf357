from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
from typing import TYPE_CHECKING

import pytest

from benchmarks.disk import folder_bytes, topic_bytes
from benchmarks.inputs import DATA, make_inputs, store_ids
from benchmarks.lines.kafka_pings import AcknowledgedRecord, visible_delays
from benchmarks.lines.write_cost import write_cost
from benchmarks.pings import (
    BATCH,
    batches_of_one_store,
    minutes_up_to_now,
    mixed_batches,
    poll_records,
    single_posts,
)
from benchmarks.processes import cpu_seconds, megabytes_in, resident_megabytes, ticks_of
from benchmarks.watermarks import Advance
from stream_app.contracts.polls import decode_poll_batch
from stream_app.domain.timestamps import MINUTE

if TYPE_CHECKING:
    from pathlib import Path

REAL_STORES = 4_559


def column(path: Path, name: str) -> list[str]:
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_inputs_are_the_same_on_every_machine(tmp_path: Path) -> None:
    one = make_inputs(tmp_path / "one", stores=20, days=1)
    other = make_inputs(tmp_path / "other", stores=20, days=1)
    for name in ("status", "hours", "zones"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes()
    assert one.polls == len(column(one.status, "store_id"))
    assert set(column(one.status, "store_id")) == set(store_ids(20))
    assert set(column(one.zones, "store_id")) == set(store_ids(20))


def test_all_published_hours_and_timezones_are_in_the_whole_data_set(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, stores=REAL_STORES, days=0.01)
    with gzip.open(DATA / "timezones.csv.gz", "rt", newline="") as file:
        published = {row["store_id"] for row in csv.DictReader(file)}
    assert set(column(inputs.zones, "store_id")) == published
    assert set(column(inputs.hours, "store_id")) <= published


def test_generated_stores_have_hours_and_a_timezone_too(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, stores=REAL_STORES + 30, days=0.01)
    generated = set(store_ids(REAL_STORES + 30)[-30:])
    assert generated <= set(column(inputs.zones, "store_id"))
    assert generated <= set(column(inputs.hours, "store_id"))


def test_pings_are_a_minute_apart_and_past() -> None:
    instants = list(minutes_up_to_now(5))
    assert {later - earlier for earlier, later in itertools.pairwise(instants)} == {MINUTE}


def body_of(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[2]


def test_every_store_posts_once_a_minute() -> None:
    posts = list(single_posts(store_ids(3), 2))
    assert len(posts) == 6
    assert len({json.loads(body_of(post))["timestamp_utc"] for post in posts}) == 2
    assert store_ids(3)[1].encode() in posts[1]


def test_mixed_batches_hold_a_poll_of_each_of_a_hundred_stores() -> None:
    for batch in mixed_batches(store_ids(2 * BATCH), 1):
        items = json.loads(body_of(batch))
        assert len({item["store_id"] for item in items}) == len(items) == BATCH


def test_batches_of_one_store_hold_a_hundred_polls_of_it() -> None:
    batches = [json.loads(body_of(batch)) for batch in batches_of_one_store(store_ids(2), 2)]
    assert len(batches) == 4
    for items in batches:
        assert len({item["store_id"] for item in items}) == 1
        assert len({item["timestamp_utc"] for item in items}) == len(items) == BATCH
    # the second round of batches continues the times of the first
    assert max(item["timestamp_utc"] for item in batches[0]) < batches[2][0]["timestamp_utc"]


def test_each_record_has_one_poll_that_the_worker_accepts() -> None:
    records = list(poll_records(store_ids(2), 3))
    polls = set()
    for store_id, value in records:
        batch, refused = decode_poll_batch(value)
        assert (batch.store_id, refused) == (store_id, [])
        polls |= {(store_id, *poll) for poll in batch.polls}
    assert len(records) == len(polls) == 6


def test_a_record_is_visible_with_the_first_watermark_past_it() -> None:
    # offsets   0  1  2        watermark  1 at 10 s, 3 at 12 s
    partition_0, partition_1 = ("store-status", 0), ("store-status", 1)
    advances = [
        Advance(9, partition_1, 7),
        Advance(10, partition_0, 1),
        Advance(12, partition_0, 3),
    ]
    acknowledged = [
        AcknowledgedRecord(9.5, partition_0, 0),
        AcknowledgedRecord(9.5, partition_0, 1),
        AcknowledgedRecord(11.0, partition_0, 2),
        AcknowledgedRecord(9.5, partition_1, 6),  # acknowledged after its watermark was read
    ]
    assert visible_delays(acknowledged, advances) == [0.5, 2.5, 1.0, 0.0]


def test_a_ping_of_a_busy_store_costs_no_more_writes_than_one_of_a_quiet_store() -> None:
    minutes, hours = write_cost(MINUTE, days=8), write_cost(60 * MINUTE, days=8)
    assert minutes.writes <= 1.05 * hours.writes
    assert minutes.bytes > 8


def test_cpu_is_read_after_a_name_with_spaces_and_brackets() -> None:
    fields = "S 1 1 1 0 -1 4194304 10 0 0 0 70 30 0 0 20 0 1 0"
    assert ticks_of(f"42 (a (b) c) {fields}") == 100


def test_memory_is_read_in_megabytes() -> None:
    status = "Name:\tx\nVmHWM:\t  2000 kB\nVmRSS:\t  1000 kB\n"
    assert megabytes_in(status, "VmRSS") == pytest.approx(1.024)
    with pytest.raises(ValueError, match="ended"):
        megabytes_in("Name:\tx\n", "VmRSS")


def test_this_process_has_used_cpu_and_memory() -> None:
    resident, peak = resident_megabytes(os.getpid())
    assert 0 < resident <= peak
    assert cpu_seconds(os.getpid()) > 0


def test_only_records_of_the_topic_itself_are_counted(tmp_path: Path) -> None:
    for name, size in (
        ("node-1/log/a-0/1.log", 3),
        ("node-1/log/a-1/1.log", 4),
        ("node-1/log/a-1/1.index", 50),
        ("node-1/log/a-b-0/1.log", 60),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    assert topic_bytes(tmp_path, "a") == 7
    assert folder_bytes(tmp_path) == 117
