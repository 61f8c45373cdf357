"""Reads, stores and writes polls in the environment of requirements.lock; see README.md."""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient
from quixstreams import Application, State
from quixstreams.kafka.configuration import ConnectionConfig

from benchmarks.peers.python.store_status import SPAN, connection, is_checked, read, union

if TYPE_CHECKING:
    from collections.abc import MutableSequence


def main() -> None:
    """Run with the arguments BOOTSTRAP SHAPE RECORDS SAMPLE_EVERY OUT."""
    bootstrap, shape, records, sample_every, output = sys.argv[1:]
    span = SPAN[shape]
    started = 0.0
    sample: dict[str, MutableSequence[int]] = {}
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
            nonlocal started
            started = started or time.perf_counter()
            store_id, packed = read(value)
            polls = packed.tolist()
            start = 0
            checked = is_checked(store_id, int(sample_every))
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
                        sample[f"{store_id}/{bucket}"] = merged
                start = end

        app.dataframe(topic).update(merge_polls, stateful=True)
        app.run(count=int(records), collect=False)
        seconds = time.perf_counter() - started
        cpu = time.process_time()
    admin = AdminClient(connection(bootstrap))
    topics = [name for name in admin.list_topics(timeout=10).topics if group in name]
    for deleted in admin.delete_topics(topics).values():
        deleted.result()
    stores: dict[str, list[int]] = {}
    for name, polls in sample.items():
        stores.setdefault(name.partition("/")[0], []).extend(polls)
    Path(output).write_text(json.dumps({"seconds": seconds, "cpu": cpu, "stores": stores}))


main()
