"""Makes pings as stores send them: one poll a minute of each store, up to now."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, Final

from benchmarks.http import request
from stream_app.clock import wall_clock
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.timestamps import MINUTE, format_instant
from stream_app.kafka.clients import producer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.settings import Settings

BATCH: Final = 100
_PREFIX: Final = '{{"store_id":"{}","status":"active","timestamp_utc":"'
_BATCH_BYTES: Final = 262_144


def minutes_up_to_now(minutes: int) -> Iterator[int]:
    """Return timestamps (µs) of whole minutes before now, the oldest first."""
    now = wall_clock()
    return (now - number * MINUTE for number in range(minutes, 0, -1))


def single_posts(store_ids: Sequence[str], minutes: int) -> Iterator[bytes]:
    """Yield requests of `POST /stores/ID/status`: every store once a minute."""
    for instant in minutes_up_to_now(minutes):
        body = b'{"status":"active","timestamp_utc":"%s"}' % format_instant(instant).encode()
        for store_id in store_ids:
            yield request("POST", f"/stores/{store_id}/status", body)


def mixed_batches(store_ids: Sequence[str], minutes: int) -> Iterator[bytes]:
    """Yield requests of `POST /status` with one poll of each of a hundred stores."""
    prefixes = [_PREFIX.format(store_id).encode() for store_id in store_ids]
    groups = [prefixes[i : i + BATCH] for i in range(0, len(prefixes) - BATCH + 1, BATCH)]
    for instant in minutes_up_to_now(minutes):
        end = format_instant(instant).encode() + b'"}'
        for group in groups:
            yield request("POST", "/status", b"[" + (end + b",").join(group) + end + b"]")


def batches_of_one_store(store_ids: Sequence[str], rounds: int) -> Iterator[bytes]:
    """Yield requests of `POST /status` with a hundred polls of one store that was offline."""
    instants = minutes_up_to_now(rounds * BATCH)
    for _ in range(rounds):
        ends = [format_instant(t).encode() + b'"}' for t in islice(instants, BATCH)]
        for store_id in store_ids:
            prefix = _PREFIX.format(store_id).encode()
            body = b"[" + prefix + (b"," + prefix).join(ends) + b"]"
            yield request("POST", "/status", body)


def poll_records(store_ids: Sequence[str], minutes: int) -> Iterator[tuple[str, bytes]]:
    """Yield the store and the value of records with one poll: every store once a minute."""
    for number, instant in zip(count(), minutes_up_to_now(minutes), strict=False):
        for place, store_id in enumerate(store_ids):
            yield store_id, encode_poll(store_id, instant, active=(number + place) % 20 > 0)


async def produce_backlog(settings: Settings, records: Iterator[tuple[str, bytes]]) -> int:
    """Write records to `store-status` as fast as the broker accepts them; return their number."""
    client = producer(settings, max_batch_size=_BATCH_BYTES)
    await client.start()
    written = 0
    try:
        batches = {p: client.create_batch() for p in range(settings.partitions)}
        sent = []
        for store_id, value in records:
            key = store_id.encode()
            partition = partition_of(key, settings.partitions)
            if batches[partition].append(key=key, value=value, timestamp=None) is None:
                sent.append(
                    await client.send_batch(
                        batches[partition], STORE_STATUS.name, partition=partition
                    )
                )
                batches[partition] = client.create_batch()
                batches[partition].append(key=key, value=value, timestamp=None)
            written += 1
        for partition, batch in batches.items():
            if batch.record_count():
                sent.append(await client.send_batch(batch, STORE_STATUS.name, partition=partition))
        for future in sent:
            await future
    finally:
        await client.stop()
    return written
