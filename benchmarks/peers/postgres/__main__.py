"""PostgreSQL: a row for each poll, and a report that checks every minute of the week."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from benchmarks.peers.environment import python_of, run
from benchmarks.peers.job import SAMPLE_EVERY, check, job_of_arguments, record_values
from stream_app.contracts.polls import decode_packed_polls
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.polls import packed_set
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.timestamps import HOUR, WEEK
from stream_app.domain.timezones import resolve_timezone
from stream_app.domain.uptime import StoreStates
from stream_app.domain.windows import DAY_WINDOW, HOUR_WINDOW, WEEK_WINDOW, minute_reading
from stream_app.local.processes.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.peers.job import Job

FOLDER = Path(__file__).parent
REPORTS: Final = 5
ZONE: Final = "America/New_York"
INSTALL: Final = "PostgreSQL's server is missing: apt install postgresql"


def programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, which is not on the PATH on Debian."""
    initdb = shutil.which("initdb")
    if initdb is not None:
        return Path(initdb).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@contextmanager
def server(folder: Path, binaries: Path) -> Iterator[str]:
    """Yield the address of a new server on the loopback interface."""
    (port,) = free_ports(1)
    data = folder / "data"
    data.mkdir()
    root = os.geteuid() == 0
    if root:
        shutil.chown(folder, "postgres")
        shutil.chown(data, "postgres")
    as_user = ["runuser", "-u", "postgres", "--"] if root else []
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
    options += "-c shared_buffers=256MB -c max_wal_size=4GB"
    initdb = [*as_user, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
    control = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(data / "log")]

    def quietly(arguments: list[str]) -> None:
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, cwd=folder)

    quietly(initdb)
    quietly([*control, "-o", options, "start"])
    try:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        quietly([*control, "-m", "immediate", "stop"])


async def write_rows(job: Job, path: Path) -> None:
    """Write a CSV row for each poll, in the order of the topic."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        async for value in record_values(job):
            batch, _ = decode_packed_polls(value)
            writer.writerows((batch.store_id, poll) for poll in batch.polls)


def check_reports(
    figures: Mapping[str, list[int]], stores: Mapping[str, list[int]], reference: int
) -> None:
    """Compare the minutes of these reports with those of the product.

    Raises:
        SystemExit: they differ.
    """
    hours = WeeklyHours.from_rows([(day, "09:00", "17:00") for day in range(7)])
    rules = PollRules(lookback=HOUR, default_active=False, stale_after=HOUR)
    for store_id, counts in figures.items():
        facts = StoreFacts(hours, resolve_timezone(ZONE, ZONE), packed_set(stores[store_id]))
        states = StoreStates.of_facts([facts], reference - WEEK, reference, rules)
        windows = states.last_windows((HOUR_WINDOW, DAY_WINDOW, WEEK_WINDOW))
        split = states.split(windows, minute_reading)
        expected = [int(part[row, 0]) for row in range(3) for part in (split.up, split.down)]
        if counts != expected:
            raise SystemExit(f"the report of store {store_id} differs: {counts}, not {expected}")


def main() -> None:
    """Insert all rows, make some reports, and check both."""
    job = job_of_arguments(__doc__ or "")
    binaries = programs()
    if binaries is None:
        job.write_not_run(INSTALL)
        return
    with TemporaryDirectory(prefix="store-uptime-peer-") as name:
        folder = Path(name)
        rows, output = folder / "rows.csv", folder / "out.json"
        asyncio.run(write_rows(job, rows))
        with server(folder, binaries) as url:
            usage = run(
                [
                    *(str(python_of(FOLDER)), str(FOLDER / "app.py"), url, str(rows)),
                    *(str(SAMPLE_EVERY), str(REPORTS), ZONE, str(output)),
                ]
            )
        result = json.loads(output.read_text(encoding="utf-8"))
    check_reports(result["figures"], result["stores"], result["reference"])
    job.write_figures(
        result["seconds"],
        check(job, result["stores"]),
        cpu=result["cpu"],
        # the client, and the server's process of its connection
        peak_megabytes=usage.peak_megabytes + result["server_megabytes"],
        written_bytes=result["written_bytes"],
        report_seconds_a_store=result["report_seconds_a_store"],
    )


main()
