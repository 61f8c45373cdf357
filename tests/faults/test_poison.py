"""Fault 16: unusable records on every topic, among those that count."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiokafka import AIOKafkaProducer

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.topics import (
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    STORES,
    WATERMARKS,
)
from stream_app.kafka.clients import connection
from tests.faults.oracle import read_dead_letters
from tests.faults.report_requests import microseconds

if TYPE_CHECKING:
    from tests.faults.conftest import UnderLoad
    from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(300)]

STORE: Final = "4b1f0c2a-5d3e-4f6a-8b7c-9d0e1f2a3b4c"

ANY_TOPIC: Final[dict[str, bytes | None]] = {
    "no value": None,
    "an empty value": b"",
    "no JSON": b"store,active,now",
    "half a record": b'{"store_id": "' + STORE.encode(),
    "no UTF-8": b'{"store_id": "\xff\xfe"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a number": b"1",
    "null": b"null",
    "a text": b'"active"',
    "a list": b"[]",
    "an empty object": b"{}",
    "a deep list": b"[" * 10_000 + b"]" * 10_000,
    "a deep object": b'{"store_id":' * 900 + b"1" + b"}" * 900,
    "a lone surrogate": b'{"store_id": "\\ud800"}',
    "no number": b'{"store_id": NaN}',
    "infinity": b'{"store_id": Infinity}',
    "a huge number": b'{"store_id": 1' + b"0" * 400 + b"}",
    "a store that is a number": b'{"store_id": 7}',
    "a store that is null": b'{"store_id": null}',
    "a store that is a list": b'{"store_id": ["' + STORE.encode() + b'"]}',
    "a store that is no UUID": b'{"store_id": "shop 7"}',
    "Faust's own form": b'{"__faust": {"ns": "x.Y"}, "id": 7}',
    "nearly a megabyte": b'{"store_id": "' + b"x" * 900_000 + b'"}',
}


def _poll(**fields: Any) -> bytes:
    return json.dumps({"store_id": STORE, **fields}).encode()


POLLS: Final = {
    "no status": _poll(timestamp_utc="2024-11-03T20:00:00Z"),
    "no time": _poll(status="active"),
    "a status of another kind": _poll(status=True, timestamp_utc="2024-11-03T20:00:00Z"),
    "an unknown status": _poll(status="asleep", timestamp_utc="2024-11-03T20:00:00Z"),
    "a time that is a number": _poll(status="active", timestamp_utc=1730664000),
    "a time that is none": _poll(status="active", timestamp_utc="yesterday"),
    "the year 9999": _poll(status="active", timestamp_utc="9999-12-31T23:59:59Z"),
    "polls that are a text": _poll(polls="all"),
    "no polls": _poll(polls=[]),
    "polls before all time": _poll(polls=[[-1, 1]]),
    "polls beyond all numbers": _poll(polls=[[10**400, 1]]),
    "polls of half a pair": _poll(polls=[[1_730_664_000_000_000]]),
    "polls of truths": _poll(polls=[[True, True]]),
    "a status twice": b'{"status": "active", '
    + _poll(status="inactive", timestamp_utc="2024-11-03T20:00:00Z")[1:],
    "a field that no poll has": _poll(
        status="active", timestamp_utc="2024-11-03T20:00:00Z", more={"a": [1]}
    ),
}
HOURS: Final = {
    "no hours": _poll(),
    "hours that are null": _poll(hours=None),
    "hours that are a text": _poll(hours="always"),
    "a ninth day": _poll(hours=[[8, "09:00", "17:00"]]),
    "a 25th hour": _poll(hours=[[0, "09:00", "25:00"]]),
    "half a row": _poll(hours=[[0, "09:00"]]),
    "too many rows": _poll(hours=[[0, "09:00", "17:00"]] * 1001),
}
ZONES: Final = {
    "no zone": _poll(),
    "a zone that is a number": _poll(timezone_str=5),
    "a zone that is null": _poll(timezone_str=None),
    "a long zone": _poll(timezone_str="x" * 101),
}
REQUESTS: Final = {
    "no report id": _poll(),
    "a report id that is none": _poll(report_id="mine"),
    "a time that is a number": _poll(report_id=STORE, reference_time=5),
}
REJECTED: Final = {
    STORE_STATUS.name: POLLS | ANY_TOPIC,
    STORE_BUSINESS_HOURS.name: HOURS | ANY_TOPIC,
    STORE_TIMEZONES.name: ZONES | ANY_TOPIC,
    REPORT_REQUESTS.name: REQUESTS | ANY_TOPIC,
}
FOLLOWED: Final = (REPORT_RESULTS.name, STORES.name, WATERMARKS.name)
COMPACTED: Final = (STORE_BUSINESS_HOURS.name, STORE_TIMEZONES.name)
KEYS: Final = (STORE.encode(), None, b"", b"\xff", b"k" * 10_000)


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_poison_on_every_topic(faulty: UnderLoad, codec: str | None) -> None:
    fault = f"16: poison records of every kind on every topic, {codec or 'not compressed'}"
    async with faulty(fault, workers=2) as scene:
        sent = await _send_poison(scene, codec)
        await _send_odd_but_valid(scene, codec or "gzip")
        scene.expected_dead_letters = len(sent)
        dead_letters = await read_dead_letters(scene.product.settings)
        while len(dead_letters) < len(sent):
            await asyncio.sleep(0.2)
            dead_letters = await read_dead_letters(scene.product.settings)
        sources = Counter(tuple(dead_letter.source.values()) for dead_letter in dead_letters)
        assert sources == Counter(sent.keys()), "each once, and nothing else"
        for dead_letter in dead_letters:
            value, key = sent[tuple(dead_letter.source.values())]
            assert (dead_letter.original, dead_letter.key) == (value, key)
            assert dead_letter.reason
        await scene.load.wait_until_acknowledged(300)
        for worker in scene.product.workers.values():
            assert worker.logged(r"rejected store-status/\d/\d+: ")


async def _send_poison(
    scene: Scenario, codec: str | None
) -> dict[tuple[Any, ...], tuple[bytes | None, bytes | None]]:
    """Send unusable records, and return the value and key of each that a worker rejects.

    The keys of the result are topic, partition and offset.
    """
    sent: dict[tuple[Any, ...], tuple[bytes | None, bytes | None]] = {}
    partitions = scene.product.settings.partitions
    right = partition_of(STORE.encode(), partitions)
    async with AIOKafkaProducer(
        **connection(scene.product.settings), acks="all", compression_type=codec
    ) as kafka:
        for topic, values in REJECTED.items():
            for number, value in enumerate(values.values()):
                key = KEYS[number % len(KEYS)]
                if topic in COMPACTED and (key is None or value is None):
                    # a compacted topic needs a key, and a record without a value under the key of
                    # a store would delete the facts of that store
                    key = b"k"
                # a record of a known store on a wrong partition would be forwarded to its own
                # partition, and rejected there
                partition = right if value and STORE.encode() in value else number % partitions
                headers = [("content-type", b"\xff")] if number % 3 else None
                stored = await kafka.send_and_wait(topic, value, key, partition, headers=headers)
                sent[topic, partition, stored.offset] = (value, key)
        for topic in FOLLOWED:
            for value in ANY_TOPIC.values():
                await kafka.send_and_wait(topic, value, b"k")
    return sent


async def _send_odd_but_valid(scene: Scenario, codec: str) -> None:
    """Send records that look wrong and are valid: they count like all others."""
    store = scene.stores[0]
    polls = [
        (store.reference - timedelta(seconds=7 * number), "active" if number % 5 else "inactive")
        for number in range(20_000)
    ]
    value = encode_poll_batch(
        store.id, [(microseconds(instant), status == "active") for instant, status in polls]
    )
    one = (store.reference - timedelta(minutes=3, microseconds=1), "inactive")
    odd = b'{"timestamp_utc": "%s", "status": " INACTIVE ",  "store_id": "%s"}' % (
        one[0].isoformat().encode(),
        store.id.upper().encode(),
    )
    async with AIOKafkaProducer(
        **connection(scene.product.settings),
        acks="all",
        compression_type=codec,
        max_request_size=8_000_000,
    ) as kafka:
        # larger than a record may be without compression, and with the key of another store
        await kafka.send_and_wait(STORE_STATUS.name, value, STORE.encode())
        await kafka.send_and_wait(STORE_STATUS.name, odd, None)
    scene.ledger.add_sent(store.id, [*polls, one])
    scene.ledger.add_acknowledged(store.id, [*polls, one])
