"""The reports of thousands of stores against the ledger, by a few requests."""

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
_AGAIN: Final = 0.25


async def compare_many(
    product: Deployment, stores: Sequence[Store], ledger: Ledger, when: str
) -> None:
    """Ask for one report for each reference time; every row must be what the ledger gives."""
    wrong = await differences(product, stores, ledger)
    assert not wrong, f"{len(wrong)} of {len(stores)} stores are wrong {when}:\n" + "\n".join(
        wrong[:_SHOWN]
    )


async def differences(product: Deployment, stores: Sequence[Store], ledger: Ledger) -> list[str]:
    """The stores whose figures are not what the ledger gives, each in a line."""
    together: defaultdict[Any, list[Store]] = defaultdict(list)
    for store in stores:
        together[store.reference].append(store)
    wrong = []
    async with asyncio.timeout(_LIMIT_SECONDS), Client(product.address) as client:
        for some in together.values():
            rows = await _rows(client, some)
            expected = await asyncio.to_thread(ledger.expected_of_many, some)
            for store_id, figures in expected.items():
                row = rows.get(store_id, {})
                shown = {name: row.get(name) for name in figures}
                if shown != figures:
                    wrong.append(f"{store_id}: {shown}\n  expected {figures}")
    return wrong


async def _rows(client: Client, stores: Sequence[Store]) -> dict[str, dict[str, Any]]:
    """The rows of one report of all these stores, who have one reference time."""
    body = {
        "store_ids": [store.id for store in stores],
        "reference_time": stores[0].reference.isoformat(),
    }
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    while True:
        status, content = await client.ask("POST", "/trigger_report", json=body, headers=headers)
        if status == 202:
            break
        # 404: the API has not heard yet of a store that is new
        assert status in {0, 404, 429, 503}, (status, content)
        await asyncio.sleep(_AGAIN)
    state, content = await client.finished(str(content["report_id"]))
    assert state == "complete", content
    return {row["store_id"]: row for row in content["reports"]}
