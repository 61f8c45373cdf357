"""Inserts and reports polls in the environment of requirements.lock; see README.md."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
import zlib
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytz
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    MetaData,
    Table,
    Uuid,
    create_engine,
    insert,
    select,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

CHUNK = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

metadata = MetaData()
POLLS = Table(
    "store_status",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("store_id", Uuid(as_uuid=False), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("timestamp_utc", DateTime(timezone=True), nullable=False),
    Index("store_status_by_time", "store_id", "timestamp_utc"),
)


def chunks(path: str) -> Iterator[list[dict[str, Any]]]:
    """Yield rows for the table, in lists of at most `CHUNK`."""
    rows: list[dict[str, Any]] = []
    with Path(path).open(newline="") as file:
        for store_id, packed in csv.reader(file):
            poll = int(packed)
            when = EPOCH + timedelta(microseconds=poll >> 1)
            rows.append({"store_id": store_id, "active": bool(poll & 1), "timestamp_utc": when})
            if len(rows) == CHUNK:
                yield rows
                rows = []
    if rows:
        yield rows


def one_an_instant(polls: list[int]) -> list[int]:
    """Return the polls as a set; of two at the same time the inactive one stays."""
    return sorted({poll >> 1: poll for poll in sorted(polls, reverse=True)}.values())


def minute_by_minute(
    connection: Connection, store_id: str, zone: str, reference: datetime
) -> list[int]:
    """Return the minutes up and down in the three windows of a store that is open from 9 to 5."""
    week_ago = reference - timedelta(days=7)
    polls = connection.execute(
        select(POLLS.c.timestamp_utc, POLLS.c.active)
        .where(
            POLLS.c.store_id == store_id,
            POLLS.c.timestamp_utc >= week_ago - timedelta(hours=1),
            POLLS.c.timestamp_utc <= reference,
        )
        .order_by(POLLS.c.timestamp_utc, POLLS.c.active.desc())
    ).all()
    times = [row[0] for row in polls]
    tz = pytz.timezone(zone)
    counts = [0] * 6
    for number in range(1, 7 * 24 * 60 + 1):
        minute = reference - timedelta(minutes=number)
        local = minute.astimezone(tz)
        if not 9 <= local.hour < 17:
            continue
        position = bisect_right(times, minute)
        down = not (position and polls[position - 1][1])
        for window, minutes in enumerate((60, 24 * 60, 7 * 24 * 60)):
            if number <= minutes:
                counts[2 * window + down] += 1
    return counts


def server_usage(engine: Engine) -> dict[str, float]:
    """Return CPU and memory of the server's process that inserted, and the bytes that it wrote.

    The connection pool has one connection, so this is the process that inserted. The bytes are
    those of the write-ahead log and of the table with its indexes.
    """
    with engine.connect() as connection:
        pid, log, table = connection.execute(
            text(
                "SELECT pg_backend_pid(), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), "
                f"pg_total_relation_size('{POLLS.name}')"
            )
        ).one()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    return {
        "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        "megabytes": peak / 1e6,
        "written_bytes": float(log) + float(table),
    }


def main() -> None:
    """Run with the arguments URL ROWS SAMPLE_EVERY REPORTS ZONE OUT."""
    url, path, sample_every, reports, zone, output = sys.argv[1:]
    engine = create_engine(url)
    metadata.create_all(engine)
    seconds = 0.0
    for rows in chunks(path):
        began = time.perf_counter()
        with engine.begin() as connection:
            connection.execute(insert(POLLS), rows)
        seconds += time.perf_counter() - began
    cpu = time.process_time()
    server = server_usage(engine)
    stores: dict[str, list[int]] = {}
    figures: dict[str, list[int]] = {}
    with engine.connect() as connection:
        for store_id, active, when in connection.execute(
            select(POLLS.c.store_id, POLLS.c.active, POLLS.c.timestamp_utc)
        ):
            if zlib.crc32(store_id.encode()) % int(sample_every) == 0:
                micros = (when - EPOCH) // timedelta(microseconds=1)
                stores.setdefault(store_id, []).append(micros << 1 | active)
        newest = max(poll >> 1 for polls in stores.values() for poll in polls)
        reference = EPOCH + timedelta(microseconds=newest)
        began = time.perf_counter()
        for store_id in sorted(stores)[: int(reports)]:
            figures[store_id] = minute_by_minute(connection, store_id, zone, reference)
        report_seconds = (time.perf_counter() - began) / int(reports)
    result = {
        "seconds": seconds,
        "cpu": cpu + server["cpu"],
        "server_megabytes": server["megabytes"],
        "written_bytes": server["written_bytes"],
        "report_seconds_a_store": report_seconds,
        "reference": newest,
        "stores": {store: one_an_instant(polls) for store, polls in stores.items()},
        "figures": figures,
    }
    Path(output).write_text(json.dumps(result))


main()
