"""Faults 17 and 18: facts repeated, reordered and late; clock changes; unknown timezones."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from producers.record_sink import RecordSink
from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from tests.faults.deployment import deployment
from tests.faults.oracle import read_dead_letters
from tests.faults.report_requests import Client, microseconds
from tests.minute_walk import public_figures, walk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import UnderLoad
    from tests.faults.stores import Hours

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.timeout(300),
]

Polls = list[tuple[datetime, str]]

REFERENCE: Final = datetime(2024, 11, 4, 5, 30, tzinfo=UTC)


def _facts() -> Polls:
    """Make polls of more than a week: some contradict, some are months late or too new."""
    randomness = random.Random(17)
    polls = [
        (
            REFERENCE - timedelta(minutes=randomness.randrange(9 * 24 * 60)),
            randomness.choice(("active", "active", "inactive")),
        )
        for _ in range(400)
    ]
    contradicted = [
        (instant, "inactive" if status == "active" else "active") for instant, status in polls[:40]
    ]
    months_late = [(REFERENCE - timedelta(days=days), "active") for days in (30, 200, 399)]
    later = [(REFERENCE + timedelta(minutes=5), "inactive")]
    return [*polls, *contradicted, *months_late, *later]


@pytest.mark.faults_short
async def test_any_order_and_any_batches_give_the_same_report(tmp_path: Path) -> None:
    facts = _facts()
    expected = public_figures(walk([], None, facts, REFERENCE))
    async with deployment(tmp_path, workers=2) as product, Client(product.address) as client:
        async with RecordSink(product.settings) as sink:

            async def send(store_id: str, polls: Polls, size: int) -> None:
                for start in range(0, len(polls), size):
                    batch = [
                        (microseconds(instant), status == "active")
                        for instant, status in polls[start : start + size]
                    ]
                    value = encode_poll_batch(store_id, batch)
                    await sink.send(STORE_STATUS, store_id.encode(), value)

            stores = {}
            for seed, size in enumerate((1, 7, 60, 512)):
                randomness = random.Random(seed)
                for name, order in {
                    "sorted": sorted(facts),
                    "backwards": sorted(facts, reverse=True),
                    "shuffled": randomness.sample(facts, len(facts)),
                    "twice": randomness.sample(facts * 2, 2 * len(facts)),
                }.items():
                    store_id = str(uuid.uuid4())
                    stores[store_id] = f"{name} by {size}"
                    await send(store_id, order, size)

        async def report(store_id: str) -> dict[str, Any]:
            status, content = await client.wait_until_finished(
                await client.trigger_at(store_id, REFERENCE)
            )
            assert status == "complete", content
            return content

        reports = await asyncio.gather(*map(report, stores))
        wrong = {
            name: content
            for name, content in zip(stores.values(), reports, strict=True)
            if {figure: content[figure] for figure in expected} != expected
        }
        assert not wrong
        assert len({content["polls_counted"] for content in reports}) == 1


@pytest.mark.faults_short
async def test_polls_ahead_of_the_clock_are_rejected_and_move_no_reference_time(
    tmp_path: Path,
) -> None:
    now = datetime.fromtimestamp(time.time() // 60 * 60, UTC)
    fine, ahead = now + timedelta(minutes=2), now + timedelta(minutes=30)
    store_id = str(uuid.uuid4())
    async with deployment(tmp_path, workers=1) as product, Client(product.address) as client:
        async with RecordSink(product.settings) as sink:
            polls = [
                (microseconds(instant), active)
                for instant, active in ((now - timedelta(hours=3), True), (fine, False))
            ]
            partly_rejected = encode_poll_batch(store_id, [*polls, (microseconds(ahead), False)])
            all_rejected = encode_poll_batch(store_id, [(microseconds(ahead), False)])
            for value in (partly_rejected, all_rejected):
                await sink.send(STORE_STATUS, store_id.encode(), value)
        path = f"/stores/{store_id}/status"
        body = {"status": "inactive", "timestamp_utc": ahead.isoformat()}
        assert (await client.request("POST", path, json=body))[0] == 422

        # without a time the newest poll decides, and the poll that is ahead of the clock does not
        status, content = await client.request("POST", f"/trigger_report/{store_id}")
        assert status == 202
        _, content = await client.wait_until_finished(content["report_id"])
        assert content["reference_time"] == fine.isoformat().replace("+00:00", "Z")
        assert content["polls_counted"] == 2
        dead_letters = await read_dead_letters(product.settings)
        assert len(dead_letters) == 3
        assert all("ahead of the clock" in dead_letter.reason for dead_letter in dead_letters)


TIMEZONES: Final = {
    "America/Chicago": ("2024-03-10T07:59:00", "2024-03-10T08:30:00", "2024-11-03T07:00:18"),
    "Australia/Lord_Howe": ("2024-04-06T15:15:00", "2024-10-05T15:45:00"),
    "Pacific/Apia": ("2011-12-30T12:00:00", "2012-01-02T00:00:00"),
    "Africa/Cairo": ("2023-04-28T00:30:00", "2024-10-31T22:30:00"),
    "Asia/Pyongyang": ("2018-05-05T00:00:00",),
    "America/Caracas": ("2016-05-01T12:00:00",),
    "Antarctica/Troll": ("2024-03-31T01:30:00",),
    "Europe/Dublin": ("2024-10-27T02:00:00",),
    "Asia/Kathmandu": ("2024-06-12T09:41:07",),
    "Chikago": ("2024-11-03T09:00:00",),
    "": ("2024-11-03T09:00:00",),
    "america/new_york": ("2024-11-03T09:00:00",),
}
HOURS: Final[tuple[Hours, ...]] = (
    [],
    [(day, "00:00", "04:00:00") for day in range(7)],
    [(day, "22:00:00", "02:30") for day in range(7)],
    [(6, "01:30", "01:30"), (5, "12:00", "24:00"), (0, "00:00:00", "23:59:59.999999")],
)


async def test_clock_changes_and_unknown_timezones(tmp_path: Path) -> None:
    randomness = random.Random(18)
    requests: list[tuple[str, str, Hours, Polls, datetime]] = []
    async with deployment(tmp_path, workers=2) as product, Client(product.address) as client:
        async with RecordSink(product.settings) as sink:
            for timezone, texts in TIMEZONES.items():
                for hours in HOURS:
                    store_id = str(uuid.uuid4())
                    references = [datetime.fromisoformat(t).replace(tzinfo=UTC) for t in texts]
                    polls: Polls = [
                        (
                            max(references) - timedelta(minutes=randomness.randrange(9 * 24 * 60)),
                            randomness.choice(("active", "inactive")),
                        )
                        for _ in range(150)
                    ]
                    batch = [(microseconds(instant), up == "active") for instant, up in polls]
                    key = store_id.encode()
                    await sink.send(STORE_TIMEZONES, key, encode_timezone(store_id, timezone))
                    await sink.send(STORE_BUSINESS_HOURS, key, encode_hours(store_id, hours))
                    await sink.send(STORE_STATUS, key, encode_poll_batch(store_id, batch))
                    requests += [(store_id, timezone, hours, polls, at) for at in references]

        places = asyncio.Semaphore(16)

        async def difference(
            store_id: str, timezone: str, hours: Hours, polls: Polls, at: datetime
        ) -> str | None:
            async with places:
                status, content = await client.wait_until_finished(
                    await client.trigger_at(store_id, at)
                )
            assert status == "complete", content
            expected = public_figures(walk(hours, timezone, polls, at))
            shown = {figure: content[figure] for figure in expected}
            return (
                None if shown == expected else f"{timezone!r} {hours} {at}: {shown} not {expected}"
            )

        differences = await asyncio.gather(*(difference(*each) for each in requests))
    assert len(differences) > 60
    assert [text for text in differences if text is not None] == []


async def test_timezones_change_while_the_load_runs(faulty: UnderLoad) -> None:
    """The load changes hours and timezones all the time; the last record of each store counts."""
    async with faulty("18: clock changes, unknown zones and changes of both", workers=2) as scene:
        await scene.load.wait_until_acknowledged(1500)
        assert len(set(scene.ledger.timezones.values())) > 3
