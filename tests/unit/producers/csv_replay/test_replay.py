"""Counts what a replay reads ahead, and what it hands over to Kafka."""

from __future__ import annotations

import asyncio
import os
import select
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from producers import record_sink as sink_module
from producers.csv_replay import line_file, poll_batches
from producers.csv_replay import replay as replay_module
from producers.csv_replay.poll_rows import read_polls
from producers.csv_replay.progress_view import PlainView
from producers.csv_replay.replay import ReplayFiles, replay_files
from producers.csv_replay.summary import Summary
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.domain.timestamps import HOUR, format_instant
from stream_app.errors import BrokerUnavailableError
from stream_app.settings import Settings
from tests.producer_double import ProducerDouble, SentBatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.csv_replay.poll_rows import PollChunk

SETTINGS = Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9")
STORES = [str(UUID(int=number)) for number in range(200)]
POLLS = 300
BEGIN = 1_700_000_000_000_000


class AcknowledgingProducer(ProducerDouble):
    """Acknowledges every batch at once; its batches are as large as a replay's."""

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(sink_module.BATCH_BYTES, 0)

    def on_batch(self, batch: SentBatch) -> None:
        batch.acknowledge()


async def replay(files: ReplayFiles) -> Summary:
    """Replay files, and return the summary."""
    summary = Summary()
    await replay_files(files, SETTINGS, view=PlainView(), summary=summary, clock=lambda: BEGIN * 2)
    return summary


def write_files(folder: Path) -> ReplayFiles:
    polls = [
        f"{store},active,{format_instant(BEGIN + number * HOUR)}"
        for number in range(POLLS)
        for store in STORES
    ]
    rows = {
        "polls.csv": ["store_id,status,timestamp_utc", *polls],
        "hours.csv": [
            "store_id,day,start_time_local,end_time_local",
            *(f"{store},{day},09:00,17:00" for day in range(7) for store in STORES),
        ],
        "zones.csv": ["store_id,timezone_str", *(f"{store},America/Chicago" for store in STORES)],
    }
    for name, lines in rows.items():
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return ReplayFiles([folder / "polls.csv"], [folder / "hours.csv"], [folder / "zones.csv"])


async def test_a_replay_costs_few_records_bytes_and_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ensure_topics(*_: object) -> None:
        pass

    double = AcknowledgingProducer()
    monkeypatch.setattr(replay_module, "ensure_topics", ensure_topics)
    monkeypatch.setattr(sink_module, "producer", lambda *_args, **_kwargs: double)
    summary = await replay(write_files(tmp_path))
    assert summary.complete
    assert summary.sent("polls").acknowledged_rows == POLLS * len(STORES)
    values = [value for topic, _, value in double.sent if topic == STORE_STATUS.name]
    # one record a store, 8 bytes a poll
    assert len(values) == len(STORES)
    assert sum(map(len, values)) == len(STORES) * (38 + 8 * POLLS)
    # a store's hours and its timezone are one record each, and a partition's records share a batch
    for spec in (STORE_BUSINESS_HOURS, STORE_TIMEZONES, STORE_STATUS):
        batches = [batch for batch in double.batches if batch.topic == spec.name]
        assert sum(len(batch.records) for batch in batches) == len(STORES)
        assert len(batches) == SETTINGS.partitions


async def test_a_replay_in_parts_sends_the_records_of_one_that_is_joined_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ensure_topics(*_: object) -> None:
        pass

    async def records() -> list[tuple[str, bytes, bytes]]:
        double = AcknowledgingProducer()
        monkeypatch.setattr(sink_module, "producer", lambda *_args, **_kwargs: double)
        summary = await replay(write_files(tmp_path))
        assert summary.sent("polls").acknowledged_rows == POLLS * len(STORES)
        return sorted(double.sent)

    monkeypatch.setattr(replay_module, "ensure_topics", ensure_topics)
    at_once = await records()
    monkeypatch.setattr(poll_batches, "PART_POLLS", POLLS * len(STORES) // 3)
    assert await records() == at_once


async def lost_broker(*_: object) -> None:
    await asyncio.sleep(0.2)
    raise BrokerUnavailableError("no broker")


async def test_a_pipe_into_which_nobody_writes_holds_up_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that reads from it ends when somebody writes, and the process waits for it."""
    monkeypatch.setattr(replay_module, "ensure_topics", lost_broker)
    monkeypatch.setattr(line_file, "CHUNK_BYTES", 40)
    path = tmp_path / "polls.csv"
    os.mkfifo(path)
    # opened for both directions, so that opening it waits for nobody
    writer = os.open(path, os.O_RDWR)
    os.write(writer, f"store_id,status,timestamp_utc\n{STORES[0]},active,".encode())
    try:
        async with asyncio.timeout(20):
            with pytest.raises(BrokerUnavailableError):
                await replay(ReplayFiles([path]))
    finally:
        os.close(writer)


@pytest.mark.parametrize("content", [None, "", "store_id,status,timestamp_utc\n"])
async def test_a_replay_of_a_silent_pipe_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    waiting = asyncio.Event()
    loop = asyncio.get_running_loop()
    poll = select.poll

    class Poll:
        """Says when a read waits for the writer."""

        def __init__(self) -> None:
            self._poll = poll()
            self.register = self._poll.register

        def poll(self, milliseconds: int) -> list[tuple[int, int]]:
            ready: list[tuple[int, int]] = self._poll.poll(milliseconds)
            if not ready:
                loop.call_soon_threadsafe(waiting.set)
            return ready

    monkeypatch.setattr(select, "poll", Poll)
    path = tmp_path / "polls.csv"
    os.mkfifo(path)
    # None: nobody has opened it for writing
    writer = None if content is None else os.open(path, os.O_RDWR)
    if writer is not None and content:
        os.write(writer, content.encode())
    try:
        replaying = asyncio.create_task(replay(ReplayFiles([path])))
        await waiting.wait()
        replaying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replaying
    finally:
        if writer is not None:
            os.close(writer)


async def test_rejected_rows_count_as_the_memory_that_they_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of long bad rows is read ahead no further than a file of polls."""
    read: list[int] = []

    def counted(*arguments: Any) -> Iterator[PollChunk]:
        for chunk in read_polls(*arguments):
            read.append(len(chunk.rejected))
            yield chunk

    async def wait_for_reader(*_: object) -> None:
        # the reader stops by itself: at its limit, or at the end of the file
        before = -1
        while before < len(read):
            before = len(read)
            await asyncio.sleep(0.2)
        raise BrokerUnavailableError("no broker")

    monkeypatch.setattr(replay_module, "read_polls", counted)
    monkeypatch.setattr(replay_module, "ensure_topics", wait_for_reader)
    monkeypatch.setattr(replay_module, "MAX_BYTES_AHEAD", 1_000_000)
    monkeypatch.setattr(line_file, "CHUNK_BYTES", 200_000)
    path = tmp_path / "polls.csv"
    path.write_text("store_id,status,timestamp_utc\n" + ("x" * 50_000 + "\n") * 100)
    with pytest.raises(BrokerUnavailableError):
        await replay(ReplayFiles([path]))
    assert 20 <= sum(read) <= 24
