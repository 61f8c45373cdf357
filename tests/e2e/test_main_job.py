"""A user comes from an empty folder to exact reports with the product's commands."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.clients import connection
from stream_app.settings import Settings
from tests.e2e.product import Http, Running, run, up
from tests.minute_walk import HEADER
from tests.sample import HOURS, STATUS, STATUS_2023, ZONES, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample([STATUS, STATUS_2023])


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def address(data_dir: Path) -> Iterator[str]:
    """Start a product with two workers, replay the whole sample, and return its address."""
    running, address = up(data_dir, "--workers", "2")
    with running:
        replayed = run(
            "replay",
            *("--hours", str(HOURS), "--zones", str(ZONES)),
            *("--status", str(STATUS), "--status", str(STATUS_2023)),
            *("--data-dir", str(data_dir)),
        )
        assert replayed.returncode == 0, replayed.stderr
        yield address


def some_stores(sample: Sample) -> list[str]:
    """Return stores of every kind: with generated polls, with real ones only, and without any."""
    polled = [store for store in sample.stores if sample.polls[store]]
    silent = [store for store in sample.stores if not sample.polls[store]]
    return [*polled[::40], *silent[::120]]


async def test_reports_are_what_a_minute_walk_gives(address: str, sample: Sample) -> None:
    reference = sample.newest_poll
    stores = some_stores(sample)
    assert len(stores) > 100

    async with Http(address) as http:
        rows = await asyncio.gather(*(http.report_row(store) for store in stores))

    assert list(rows) == [sample.csv_row(store, reference).rstrip() for store in stores]


async def test_a_request_may_name_its_own_reference_time(address: str, sample: Sample) -> None:
    reference = sorted(time for polls in sample.polls.values() for time, _ in polls)[-20_000]
    stores = some_stores(sample)[::10]

    async with Http(address) as http:
        rows = [
            await http.report_row(store, reference_time=reference.isoformat()) for store in stores
        ]

    assert rows == [sample.csv_row(store, reference).rstrip() for store in stores]


async def test_replaying_everything_again_changes_nothing(
    address: str, data_dir: Path, sample: Sample
) -> None:
    stores = some_stores(sample)[::10]
    async with Http(address) as http:
        before = [await http.report_row(store) for store in stores]
        again = run(
            "replay", "--status", str(STATUS), "--hours", str(HOURS), "--data-dir", str(data_dir)
        )
        assert again.returncode == 0, again.stderr
        assert [await http.report_row(store) for store in stores] == before


async def test_a_report_requested_through_kafka_is_fetched_by_http(
    address: str, data_dir: Path, sample: Sample
) -> None:
    """The client has another partitioner, and sends to partitions that do not have the store."""
    store = some_stores(sample)[0]
    settings = resolve_bootstrap(Settings.from_environment(os.environ, data_dir=data_dir))
    reports = [str(uuid.uuid4()) for _ in range(8)]
    async with AIOKafkaProducer(**connection(settings)) as producer:
        for partition, report_id in enumerate(reports):
            value = f'{{"report_id": "{report_id}", "store_id": "{store}"}}'
            await producer.send_and_wait(
                "report-requests", value.encode(), key=b"any", partition=partition
            )

    async with Http(address) as http:
        answers = [await http.wait_until_finished(report_id) for report_id in reports]

    expected = HEADER + sample.csv_row(store, sample.newest_poll)
    assert [(status, text.rstrip()) for status, text in answers] == [(200, expected.rstrip())] * 8


async def test_every_api_process_answers_for_any_report(
    address: str, data_dir: Path, sample: Sample
) -> None:
    store = some_stores(sample)[0]
    with Running("api", "--data-dir", str(data_dir), "--api-port", "0") as process:
        other_address = process.wait_for(r"listening on (http://\S+)")[1]
        process.wait_for("connected to Kafka")
        async with Http(address) as one, Http(other_address) as other:
            for first, second in ((one, other), (other, one)):
                report_id = await first.trigger(store)
                # the other process must know the report at once
                assert (await second.get(report_id))[0] in {200, 202}
                assert await second.wait_until_finished(
                    report_id
                ) == await first.wait_until_finished(report_id)


def test_report_command_prints_a_row_a_store(
    address: str, data_dir: Path, sample: Sample, tmp_path: Path
) -> None:
    assert address
    stores = some_stores(sample)[:40]
    printed = run("report", *stores[:3], "--data-dir", str(data_dir))
    assert printed.returncode == 0, printed.stderr
    expected = [sample.csv_row(store, sample.newest_poll).rstrip() for store in stores]
    assert printed.stdout.splitlines() == [HEADER.rstrip(), *expected[:3]]

    written = run(
        "report", *stores, "--data-dir", str(data_dir), "--output", str(tmp_path / "all.csv")
    )
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "all.csv").read_text().splitlines() == [HEADER.rstrip(), *expected]


def test_one_report_of_all_stores_is_what_a_minute_walk_gives(
    address: str, data_dir: Path, sample: Sample, tmp_path: Path
) -> None:
    assert address
    written = run(
        "report", "--all", "--data-dir", str(data_dir), "--output", str(tmp_path / "all.csv")
    )
    assert written.returncode == 0, written.stderr
    header, *rows = (tmp_path / "all.csv").read_text().splitlines()
    by_store = {row.partition(",")[0]: row for row in rows}

    assert header == HEADER.rstrip()
    assert list(by_store) == sorted(sample.stores)
    for store in some_stores(sample):
        assert by_store[store] == sample.csv_row(store, sample.newest_poll).rstrip()


async def test_some_stores_in_one_report(address: str, sample: Sample) -> None:
    stores = some_stores(sample)[:30]
    async with Http(address) as http:
        report_id = await http.trigger_fleet({"store_ids": stores})
        status, text = await http.wait_until_finished(report_id)
    assert status == 200
    assert text.splitlines()[1:] == [
        sample.csv_row(store, sample.newest_poll).rstrip() for store in sorted(stores)
    ]


async def test_a_report_of_all_stores_may_be_requested_through_kafka(
    address: str, data_dir: Path, sample: Sample
) -> None:
    settings = resolve_bootstrap(Settings.from_environment(os.environ, data_dir=data_dir))
    report_id = str(uuid.uuid4())
    async with AIOKafkaProducer(**connection(settings)) as producer:
        value = f'{{"report_id": "{report_id}", "scope": "fleet"}}'
        await producer.send_and_wait("report-requests", value.encode(), key=report_id.encode())

    async with Http(address) as http:
        status, text = await http.wait_until_finished(report_id)

    assert status == 200
    assert len(text.splitlines()) == len(sample.stores) + 1


def test_report_command_says_in_one_line_what_is_wrong(address: str, data_dir: Path) -> None:
    assert address
    unknown = run("report", str(uuid.uuid4()), "--data-dir", str(data_dir))
    assert unknown.returncode == 1
    assert len(unknown.stderr.splitlines()) == 1
    assert "is unknown" in unknown.stderr


def report_rows(*arguments: str, tmp_path: Path) -> list[dict[str, str]]:
    """Run `store-uptime report`, and return the rows that it prints."""
    process = run("report", *arguments, "--data-dir", str(tmp_path))
    assert process.returncode == 0, process.stderr
    return list(csv.DictReader(io.StringIO(process.stdout)))


async def test_a_second_run_on_the_data_dir_goes_on_where_the_first_left_off(
    tmp_path: Path,
) -> None:
    sample = Sample([STATUS], hours=(), zones=())
    store = min(sample.polls)
    first, address = up(tmp_path)
    with first:
        replayed = run("replay", "--status", str(STATUS), "--data-dir", str(tmp_path))
        assert replayed.returncode == 0, replayed.stderr
        async with Http(address) as http:
            report_id = await http.trigger(store)
            answer = await http.wait_until_finished(report_id)
        assert first.stop() == 0

    second, address = up(tmp_path)
    with second:
        async with Http(address) as http:
            assert await http.get(report_id) == answer
            assert await http.wait_until_finished(await http.trigger(store)) == answer
        # two more reports of the same week, one as a total and one day by day
        weeks = [report_rows(store, "--duration", "P7D", tmp_path=tmp_path)]
        weeks.append(report_rows(store, "--daily", tmp_path=tmp_path))
        assert second.stop() == 0
    names = ("uptime_minutes", "downtime_minutes")
    minutes = [[sum(int(row[name]) for row in week) for name in names] for week in weeks]
    assert minutes[0] == minutes[1]
    shown = [f"{round(part / 60, 2)}" for part in minutes[0]]
    row = sample.csv_row(store, sample.newest_poll).rstrip().split(",")
    assert shown == [row[3], row[6]]
    assert [len(week) for week in weeks] == [1, 8]
    assert answer[0] == 200
    assert answer[1].splitlines()[1] == sample.csv_row(store, sample.newest_poll).rstrip()


def test_demo_prints_exact_reports_and_leaves_nothing_running() -> None:
    demo = run("demo")
    assert demo.returncode == 0, demo.stderr
    sample = Sample([STATUS])
    header, *rows = demo.stdout.splitlines()
    stores = [row.partition(",")[0] for row in rows]
    assert header == HEADER.rstrip()
    assert len(stores) == 8
    assert rows == [sample.csv_row(store, sample.newest_poll).rstrip() for store in stores]

    folder = re.search(r"/\S*store-uptime-demo-\w+", demo.stderr.replace("\n", ""))
    assert folder is not None, demo.stderr
    name = re.search(r"store-uptime-demo-\w{8}", folder[0])
    assert name is not None
    assert processes_that_name(name[0]) == []


def processes_that_name(text: str) -> list[str]:
    """Return the commands of running processes whose command line or environment has a text."""
    commands = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            content = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in content:
            commands.append(content.split(b"\0")[0].decode(errors="replace"))
    return commands
