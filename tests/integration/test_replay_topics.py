"""A replay on a real Kafka writes the expected records to the topics."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.csv_replay.progress_view import PlainView
from producers.csv_replay.replay import ReplayFiles, replay_files
from producers.csv_replay.summary import Summary
from stream_app.contracts.business_hours import decode_hours
from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import MAX_POLLS_PER_RECORD, decode_poll_batch
from stream_app.contracts.stores import decode_timezone
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    TopicSpec,
)
from stream_app.domain.timestamps import HOUR, SECOND, format_instant, parse_instant
from stream_app.errors import StoreUptimeError
from stream_app.kafka.clients import connection
from tests.e2e.product import broker_environment

if TYPE_CHECKING:
    from stream_app.settings import Settings

pytestmark = pytest.mark.kafka

DATA = Path(__file__).parents[2] / "data"
ROOT = Path(__file__).parents[2]
NOW = parse_instant("2023-02-01 00:00:00 UTC")


class Topics:
    """The records that are added to the topics from now on, without those of other tests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._before: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Topics:
        self._consumer = AIOKafkaConsumer(
            **connection(self._settings),
            enable_auto_commit=False,
            max_partition_fetch_bytes=8 << 20,
        )
        await self._consumer.start()
        for topic in (STORE_STATUS, STORE_BUSINESS_HOURS, STORE_TIMEZONES, DEAD_LETTERS):
            self._before |= await self._ends(topic)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def _ends(self, topic: TopicSpec) -> dict[TopicPartition, int]:
        partitions = range(topic.partitions(self._settings))
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(
            [TopicPartition(topic.name, number) for number in partitions]
        )
        return ends

    async def added(self, topic: TopicSpec) -> list[Any]:
        ends = await self._ends(topic)
        self._consumer.assign(list(ends))
        for partition in ends:
            self._consumer.seek(partition, self._before[partition])
        records: list[Any] = []
        for partition, end in ends.items():
            while await self._consumer.position(partition) < end:
                records += await self._next(partition)
        return records

    async def _next(self, partition: TopicPartition) -> list[Any]:
        fetched = await self._consumer.getmany(partition, timeout_ms=10_000)
        assert fetched, "nothing came for ten seconds"
        return [record for records in fetched.values() for record in records]


async def send(settings: Settings, files: ReplayFiles, **arguments: Any) -> Summary:
    summary = Summary()
    await replay_files(
        files, settings, view=PlainView(), summary=summary, clock=lambda: NOW, **arguments
    )
    return summary


def csv_file(path: Path, *lines: str) -> Path:
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def store(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def polls_of(records: list[Any]) -> dict[str, list[tuple[int, bool]]]:
    polls: defaultdict[str, list[tuple[int, bool]]] = defaultdict(list)
    for record in records:
        batch, rejected = decode_poll_batch(record.value)
        assert rejected == []
        assert record.key == batch.store_id.encode()
        assert len(batch.polls) <= MAX_POLLS_PER_RECORD
        polls[batch.store_id] += batch.polls
    return polls


async def test_the_sample_arrives_whole(kafka_settings: Settings) -> None:
    files = ReplayFiles(
        status=[DATA / "store_status.csv.gz", DATA / "store_status_2023.csv.gz"],
        hours=[DATA / "menu_hours.csv.gz"],
        zones=[DATA / "timezones.csv.gz"],
    )
    async with Topics(kafka_settings) as topics:
        summary = await send(kafka_settings, files)
        status = await topics.added(STORE_STATUS)
        hours = [decode_hours(r.value) for r in await topics.added(STORE_BUSINESS_HOURS)]
        zones = [decode_timezone(r.value) for r in await topics.added(STORE_TIMEZONES)]
    assert summary.complete
    assert len(hours) == len({record.store_id for record in hours}) == 4_466
    assert sum(len(record.hours.rows) for record in hours) == 35_457
    assert len(zones) == len({record.store_id for record in zones}) == 4_559
    polls = polls_of(status)
    assert sum(map(len, polls.values())) == 61_657 - summary.kinds["polls"].duplicates
    # 8 days of hourly polls fit in one record: one record a store, and one more for those with two
    # polls of one instant
    in_doubt = [of for of in polls.values() if len({at for at, _ in of}) < len(of)]
    assert len(polls) == 4_005
    assert len(status) == len(polls) + len(in_doubt)
    # 8 bytes a poll and 38 a record, where JSON takes 21 and 60
    assert sum(len(record.value) for record in status) == (
        8 * sum(map(len, polls.values())) + 38 * len(status)
    )
    for record in status:
        assert record.partition == partition_of(record.key, kafka_settings.partitions)


async def test_many_polls_of_a_store_make_full_records_in_order(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    start = parse_instant("2023-01-01 00:00:00 UTC")
    instants = [start + number * HOUR // 4 for number in range(MAX_POLLS_PER_RECORD + 88)]
    rows = [f"{store(1)},active,{format_instant(at)}" for at in instants]
    path = csv_file(
        tmp_path / "polls.csv.gz", "store_id,status,timestamp_utc", *reversed(rows), *rows[:5]
    )
    async with Topics(kafka_settings) as topics:
        summary = await send(kafka_settings, ReplayFiles(status=[path]))
        records = await topics.added(STORE_STATUS)
    assert [len(decode_poll_batch(record.value)[0].polls) for record in records] == [512, 88]
    assert polls_of(records) == {store(1): [(at, True) for at in instants]}
    assert summary.kinds["polls"].duplicates == 5
    assert summary.complete


async def test_the_hours_of_a_store_are_one_record_over_all_files(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    header = "store_id,day,start_time_local,end_time_local"
    first = csv_file(tmp_path / "1.csv", header, f"{store(2)},0,09:00,12:00")
    second = csv_file(tmp_path / "2.csv", header, f"{store(2)},0,13:00,17:00", f"{store(2)},9,1,2")
    zones = csv_file(
        tmp_path / "z.csv",
        "store_id,timezone_str",
        f"{store(2)},America/Denver",
        f"{store(2)},Mars/Phobos",
    )
    async with Topics(kafka_settings) as topics:
        await send(kafka_settings, ReplayFiles(hours=[first, second], zones=[zones]))
        (hours,) = await topics.added(STORE_BUSINESS_HOURS)
        (zone,) = await topics.added(STORE_TIMEZONES)
    assert decode_hours(hours.value).hours.rows == ((0, "09:00", "12:00"), (0, "13:00", "17:00"))
    assert decode_timezone(zone.value).timezone == "Mars/Phobos"


async def test_a_bad_row_is_a_dead_letter_and_the_good_ones_arrive(
    kafka_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "polls.csv"
    path.write_bytes(
        b"store_id,status,timestamp_utc\r\n"
        + f"{store(3)},active,2023-01-01 00:00:00 UTC\r\n".encode()
        + b"\xff,active,2023-01-01 00:00:00 UTC\r\n"
        + f"{store(3)},active,2023-02-01 00:05:00.000001 UTC\r\n".encode()
        + f"{store(3)},INACTIVE,2023-02-01 00:05:00 UTC".encode()
    )
    settings = kafka_settings.replace(future_tolerance=300 * SECOND)
    async with Topics(kafka_settings) as topics:
        summary = await send(settings, ReplayFiles(status=[path]), rejects=tmp_path / "bad.csv")
        polls = polls_of(await topics.added(STORE_STATUS))
        dead_letters = [decode_dead_letter(r.value) for r in await topics.added(DEAD_LETTERS)]
    assert len(polls[store(3)]) == 2
    polls_file = {"kind": "polls", "columns": "store_id,status,timestamp_utc"}
    assert [(dead_letter.source, dead_letter.original) for dead_letter in dead_letters] == [
        ({"file": str(path), "line": 3, **polls_file}, b"\xff,active,2023-01-01 00:00:00 UTC"),
        (
            {"file": str(path), "line": 4, **polls_file},
            f"{store(3)},active,2023-02-01 00:05:00.000001 UTC".encode(),
        ),
    ]
    assert (summary.kinds["polls"].rows, summary.kinds["polls"].rejected) == (4, 2)
    assert summary.complete, "a replay with rejected rows is complete"
    assert f"{path}:4: in the future" in capsys.readouterr().err
    assert len((tmp_path / "bad.csv").read_text(encoding="utf-8").splitlines()) == 3


async def test_nothing_is_sent_where_any_file_is_wrong(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    zones = csv_file(tmp_path / "z.csv", "store_id,timezone_str", f"{store(4)},America/Denver")
    polls = csv_file(tmp_path / "p.csv", "store_id,state,at")
    async with Topics(kafka_settings) as topics:
        with pytest.raises(StoreUptimeError, match="no column status, timestamp_utc"):
            await send(kafka_settings, ReplayFiles(status=[polls], zones=[zones]))
        assert await topics.added(STORE_TIMEZONES) == []


async def test_a_paced_replay_sends_by_the_time_of_the_polls(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    start = parse_instant("2023-01-01 00:00:00 UTC")
    rows = [
        f"{store(number % 3)},active,{format_instant(start + number * SECOND)}"
        for number in reversed(range(60))
    ]
    path = csv_file(tmp_path / "polls.csv", "store_id,status,timestamp_utc", *rows)
    async with Topics(kafka_settings) as topics:
        started = time.monotonic()
        summary = await send(kafka_settings, ReplayFiles(status=[path]), speed=60.0)
        seconds = time.monotonic() - started
        records = await topics.added(STORE_STATUS)
    assert summary.complete
    assert seconds > 59 / 60, "59 s of event time at 60 times its pace"
    for polls in polls_of(records).values():
        assert len(polls) == 20
        assert polls == sorted(polls)
    counts = Counter(record.key for record in records)
    assert min(counts.values()) > 1, "in slices, not at once"


def test_a_store_without_any_good_hours_is_an_exit_code_of_its_own(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    header = "store_id,day,start_time_local,end_time_local"
    hours = csv_file(
        tmp_path / "Menu hours.csv",
        header,
        f"{store(6)},0,9 am,17:00",
        f"{store(7)},0,09:00,17:00",
    )
    process = subprocess.run(
        [sys.executable, "-m", "stream_app.cli.main", "replay", "--from", hours.parent],
        cwd=ROOT,
        env=os.environ | broker_environment(kafka_settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 5, process.stderr
    assert process.stdout.splitlines()[1].split()[:4] == ["hours", "1", "2", "1"]
    assert process.stderr.splitlines()[-1] == (
        "store-uptime: all hours of 1 store were rejected, so that its earlier ones or none apply: "
        f"{store(6)}"
    )


def test_ctrl_c_stops_cleanly_with_a_summary(kafka_settings: Settings, tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "polls.csv",
        "store_id,status,timestamp_utc",
        f"{store(5)},active,2023-01-01 00:00:00 UTC",
        f"{store(5)},active,2023-01-02 00:00:00 UTC",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_app.cli.main", "replay", "--status", path, "--speed", "1"],
        cwd=ROOT,
        env=os.environ | broker_environment(kafka_settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background ignores SIGINT, and its child processes would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no threads
    )
    assert process.stderr is not None
    assert any("times their pace" in line for line in process.stderr)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "stopped before the end" in out
    assert out.splitlines()[1].split()[:4] == ["polls", "1", "2", "1"]
    assert "Traceback" not in err
