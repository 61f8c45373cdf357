"""Compares the figures of thousands of stores with the ledger, by a few reports of many stores."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from tests.faults.report_requests import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.deployment import Deployment
    from tests.faults.ledger import Ledger
    from tests.faults.stores import Store

_SHOWN: Final = 5
_LIMIT_SECONDS: Final = 180.0
_RETRY_SECONDS: Final = 0.25


async def compare_many(
    product: Deployment, stores: Sequence[Store], ledger: Ledger, when: str
) -> None:
    """Request one report for each reference time; fail if a row differs from the ledger."""
    wrong = await differences(product, stores, ledger)
    assert not wrong, f"{len(wrong)} of {len(stores)} stores are wrong {when}:\n" + "\n".join(
        wrong[:_SHOWN]
    )


async def differences(product: Deployment, stores: Sequence[Store], ledger: Ledger) -> list[str]:
    """Return a line for each store whose figures differ from those of the ledger."""
    by_reference: defaultdict[Any, list[Store]] = defaultdict(list)
    for store in stores:
        by_reference[store.reference].append(store)
    wrong = []
    async with asyncio.timeout(_LIMIT_SECONDS), Client(product.address) as client:
        for some in by_reference.values():
            rows = await _rows(client, some)
            expected = await asyncio.to_thread(ledger.expected_figures_of_many, some)
            for store_id, figures in expected.items():
                row = rows.get(store_id, {})
                shown = {name: row.get(name) for name in figures}
                if shown != figures:
                    wrong.append(f"{store_id}: {shown}\n  expected {figures}")
    return wrong


async def _rows(client: Client, stores: Sequence[Store]) -> dict[str, dict[str, Any]]:
    """Return the rows of one report of stores that have the same reference time, by store id."""
    body = {
        "store_ids": [store.id for store in stores],
        "reference_time": stores[0].reference.isoformat(),
    }
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    while True:
        status, content = await client.request(
            "POST", "/trigger_report", json=body, headers=headers
        )
        if status == 202:
            break
        # 404: the API does not know a new store yet
        assert status in {0, 404, 429, 503}, (status, content)
        await asyncio.sleep(_RETRY_SECONDS)
    state, content = await client.wait_until_finished(str(content["report_id"]))
    assert state == "complete", content
    return {row["store_id"]: row for row in content["reports"]}
