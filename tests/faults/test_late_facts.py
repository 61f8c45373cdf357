"""Fault 17 with months of polls: their order changes no report within the retention."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from producers.record_sink import RecordSink
from stream_app.contracts.polls import encode_poll, encode_poll_batch
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.timestamps import WEEK
from tests.faults.deployment import deployment
from tests.faults.oracle import read_dead_letters
from tests.faults.report_requests import Client, microseconds
from tests.minute_walk import public_figures, walk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.deployment import Deployment
    from tests.faults.ledger import Poll

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(300)]

NEWEST: Final = datetime(2024, 11, 4, 5, 30, tzinfo=UTC)
KEPT: Final = (NEWEST, NEWEST - timedelta(days=6, hours=7, seconds=13))
DROPPED: Final = (NEWEST - timedelta(weeks=4), NEWEST - timedelta(weeks=9))
STORES_OF_AN_ORDER: Final = 3


def _facts() -> list[Poll]:
    """Make polls of a quarter of a year: most are older than the retention, some contradict."""
    randomness = random.Random(17)
    polls = [
        (
            NEWEST - timedelta(minutes=randomness.randrange(12 * 7 * 24 * 60)),
            randomness.choice(("active", "inactive")),
        )
        for _ in range(1500)
    ]
    contradicted = [
        (instant, "inactive" if status == "active" else "active") for instant, status in polls[:200]
    ]
    # polls of the newest hours, which push older polls out of their buckets
    live = [(NEWEST - timedelta(minutes=7 * number), "active") for number in range(200)]
    return [*polls, *contradicted, *live]


ORDERS: Final[dict[str, tuple[int, Callable[[random.Random, list[Poll]], list[Poll]]]]] = {
    "as they happened": (1, lambda _, facts: sorted(facts)),
    "the newest first": (30, lambda _, facts: sorted(facts, reverse=True)),
    "shuffled, one by one": (1, lambda chance, facts: chance.sample(facts, len(facts))),
    "shuffled": (100, lambda chance, facts: chance.sample(facts, len(facts))),
    "shuffled, each three times": (
        512,
        lambda chance, facts: chance.sample(facts * 3, 3 * len(facts)),
    ),
}


async def test_facts_older_than_the_retention_in_any_order(tmp_path: Path) -> None:
    facts = _facts()
    expected = {at: public_figures(walk([], None, facts, at)) for at in KEPT}
    stores = {str(uuid.uuid4()): name for name in ORDERS for _ in range(STORES_OF_AN_ORDER)}
    async with deployment(tmp_path, workers=2, retention=2 * WEEK) as product:
        async with RecordSink(product.settings) as sink:
            for seed, (store_id, name) in enumerate(stores.items()):
                size, ordered = ORDERS[name]
                polls = ordered(random.Random(seed), facts)
                for start in range(0, len(polls), size):
                    value = _record(store_id, polls[start : start + size])
                    await sink.send(STORE_STATUS, store_id.encode(), value)
        await _compare(product, stores, expected)
        # polls that moved from one bucket to another are in the changelog as well
        await product.rebuild()
        await _compare(product, stores, expected)
        async with RecordSink(product.settings) as sink:
            for store_id in stores:
                # all polls again, months late: those that were dropped stay dropped
                for start in range(0, len(facts), 512):
                    value = _record(store_id, facts[start : start + 512])
                    await sink.send(STORE_STATUS, store_id.encode(), value)
        await _compare(product, stores, expected)
        # only polls that came too late to be stored were rejected
        reasons = [dead_letter.reason for dead_letter in await read_dead_letters(product.settings)]
        assert reasons
        assert [reason for reason in reasons if "STORE_UPTIME_RETENTION" not in reason] == []
        product.check_nothing_crashed()


def _record(store_id: str, polls: list[Poll]) -> bytes:
    pairs = [(microseconds(instant), status == "active") for instant, status in polls]
    if len(pairs) == 1:
        return encode_poll(store_id, pairs[0][0], active=pairs[0][1])
    return encode_poll_batch(store_id, pairs)


async def _compare(
    product: Deployment,
    stores: dict[str, str],
    expected: dict[datetime, dict[str, Any]],
) -> None:
    async with Client(product.address) as client:

        async def difference(store_id: str, at: datetime) -> str | None:
            status, content = await client.wait_until_finished(
                await client.trigger_at(store_id, at)
            )
            if at in expected:
                figures = {name: content.get(name) for name in expected[at]}
                right = (status, figures) == ("complete", expected[at])
            else:
                # no figure at all, rather than one that depends on the order of the polls
                right = status == "failed" and "STORE_UPTIME_RETENTION" in content["reason"]
            return None if right else f"{stores[store_id]}, at {at}: {status} {content}"

        differences = await asyncio.gather(
            *(difference(store_id, at) for store_id in stores for at in (*KEPT, *DROPPED))
        )
    assert [text for text in differences if text is not None] == []
