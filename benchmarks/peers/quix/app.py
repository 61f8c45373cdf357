"""Runs in the environment of requirements.lock: consume, store, dump. See README.md beside it."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
import zlib
from array import array
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from confluent_kafka.admin import AdminClient
from quixstreams import Application, State
from quixstreams.kafka.configuration import ConnectionConfig

DAY = 24 * 3600 * 1_000_000
SPAN = {"bulk": 7 * DAY, "live": DAY}
PACKED_HEAD = 38


def polls_of(content: dict[str, Any]) -> list[int]:
    """Return the polls as `µs << 1 | active`."""
    if "polls" in content:
        return [instant << 1 | up for instant, up in content["polls"]]
    moment = datetime.fromisoformat(content["timestamp_utc"])
    return [round(moment.timestamp() * 1_000_000) << 1 | (content["status"] == "active")]


def union(one: list[int], other: list[int]) -> list[int]:
    """Return all polls of both; at one instant inactive wins."""
    if one and one[-1] >> 1 < other[0] >> 1:
        return one + other
    by_instant = {poll >> 1: poll for poll in sorted({*one, *other}, reverse=True)}
    return sorted(by_instant.values())


def read(value: bytes) -> tuple[str, list[int]]:
    """Store and polls of a record in either form of the topic: packed, as batches are, or JSON."""
    if value[0] == 0xF8:
        # rising, no instant twice
        return value[2:PACKED_HEAD].decode(), array("q", value[PACKED_HEAD:]).tolist()
    content = orjson.loads(value)
    return content["store_id"], union([], polls_of(content))


def connection(bootstrap: str) -> dict[str, str]:
    """Return the settings of the connection to the broker, with the login of the environment."""
    settings = {"bootstrap.servers": bootstrap}
    password = os.environ.get("STORE_UPTIME_KAFKA_SASL_PASSWORD")
    if password:
        settings |= {
            "security.protocol": "sasl_plaintext",
            "sasl.mechanism": "PLAIN",
            "sasl.username": os.environ["STORE_UPTIME_KAFKA_SASL_USERNAME"],
            "sasl.password": password,
        }
    return settings


def main() -> None:
    """Run with the arguments BOOTSTRAP SHAPE RECORDS SAMPLE_EVERY OUT."""
    bootstrap, shape, records, sample_every, output = sys.argv[1:]
    span = SPAN[shape]
    began = 0.0
    dumped: dict[str, list[int]] = {}
    group = f"quix-{uuid.uuid4()}"
    with TemporaryDirectory(prefix="store-uptime-quix-") as folder:
        app = Application(
            ConnectionConfig.from_librdkafka_dict(connection(bootstrap)),
            consumer_group=group,
            auto_offset_reset="earliest",
            state_dir=Path(folder),
            loglevel="WARNING",
            producer_extra_config={"linger.ms": 20, "batch.size": 262_144},
        )
        topic = app.topic("store-status", key_deserializer="str", value_deserializer="bytes")

        def merge_polls(value: bytes, state: State) -> None:
            nonlocal began
            began = began or time.perf_counter()
            store_id, polls = read(value)
            start = 0
            checked = zlib.crc32(store_id.encode()) % int(sample_every) == 0
            while start < len(polls):
                bucket = (polls[start] >> 1) // span
                end = start
                while end < len(polls) and (polls[end] >> 1) // span == bucket:
                    end += 1
                stored = state.get(str(bucket), [])
                merged = union(stored, polls[start:end])
                if merged != stored:
                    state.set(str(bucket), merged)
                    if checked:
                        dumped[f"{store_id}/{bucket}"] = merged
                start = end

        app.dataframe(topic).update(merge_polls, stateful=True)
        app.run(count=int(records), collect=False)
        seconds = time.perf_counter() - began
        cpu = time.process_time()
    admin = AdminClient(connection(bootstrap))
    made = [name for name in admin.list_topics(timeout=10).topics if group in name]
    for deleted in admin.delete_topics(made).values():
        deleted.result()
    stores: dict[str, list[int]] = {}
    for name, polls in dumped.items():
        stores.setdefault(name.partition("/")[0], []).extend(polls)
    Path(output).write_text(json.dumps({"seconds": seconds, "cpu": cpu, "stores": stores}))


main()
