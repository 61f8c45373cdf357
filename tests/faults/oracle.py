"""Compares every store's report with figures that are computed anew from the acknowledged facts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.topics import DEAD_LETTERS
from stream_app.kafka.clients import connection
from tests.faults.report_requests import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.settings import Settings
    from tests.faults.deployment import Deployment
    from tests.faults.ledger import Ledger
    from tests.faults.stores import Store

_AT_ONCE: Final = 16
_SHOWN: Final = 5
_LIMIT_SECONDS: Final = 120.0


async def compare_all(
    product: Deployment, stores: Sequence[Store], ledger: Ledger, when: str
) -> None:
    """Request the reports of all stores; fail if one differs from the ledger."""
    places = asyncio.Semaphore(_AT_ONCE)

    async with Client(product.address) as client:

        async def difference(store: Store) -> str | None:
            async with places:
                status, content = await client.wait_until_finished(await client.trigger(store))
            expected = ledger.expected_figures(store)
            shown: dict[str, Any] = {name: content.get(name) for name in expected}
            if status == "complete" and shown == expected:
                return None
            return f"{store.id}: {status} {content}\n  expected {expected}"

        async with asyncio.timeout(_LIMIT_SECONDS):
            differences = await asyncio.gather(*map(difference, stores))
    wrong = [text for text in differences if text is not None]
    assert not wrong, f"{len(wrong)} of {len(stores)} reports are wrong {when}:\n" + "\n".join(
        wrong[:_SHOWN]
    )


async def read_dead_letters(settings: Settings) -> list[DeadLetter]:
    """Read all dead letters that the topic has now."""
    partition = TopicPartition(DEAD_LETTERS.name, 0)
    dead_letters = []
    async with AIOKafkaConsumer(**connection(settings), auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(partition, timeout_ms=500)).values():
                dead_letters += [decode_dead_letter(record.value) for record in records]
    return dead_letters
