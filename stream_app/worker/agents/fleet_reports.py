"""Reports of many stores: their parts are requested from all owners and published in chunks."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.report_requests import (
    FleetPartRequest,
    encode_request,
    original_request_time,
)
from stream_app.contracts.report_results import ReportEvent, ResultChunk
from stream_app.domain.timestamps import DAY
from stream_app.errors import ReportError, RevokedError
from stream_app.worker.facts.keys import store_key
from stream_app.worker.report_document import extra_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.contracts.report_requests import FleetRequest
    from stream_app.contracts.report_results import Row
    from stream_app.contracts.topics import TopicSpec
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.worker.agents.caught_up_facts import CaughtUpFacts
    from stream_app.worker.owned_partitions import OwnedPartition
    from stream_app.worker.publisher import Publisher

CHUNK_ROWS: Final = 2_000
"""Report rows per result record (about 250 kB)."""

MAX_PART_ROWS: Final = 2_000_000
"""Most rows of one part of a daily report: some 300 MB in Kafka, and in the file of every API
process. Other reports have no such limit: they have one row for each store."""


class FleetReports:
    """Requests the parts of a report of many stores, and publishes the parts of this worker.

    Args:
        facts: the facts of the partitions.
        publisher: sends the requests and the chunks.
        clock: the wall clock in µs.
        partitions: how many partitions the topics by store have.
    """

    def __init__(
        self,
        facts: CaughtUpFacts,
        publisher: Publisher,
        clock: Callable[[], int],
        partitions: int,
    ) -> None:
        self._facts = facts
        self._publisher = publisher
        self._clock = clock
        self._partitions = partitions

    async def request_parts(
        self, request: FleetRequest, append_time: int, topic: str
    ) -> list[asyncio.Future[Any]]:
        """Ask the owner of every partition for its part, all of one reference time.

        Args:
            request: the request of the whole report.
            append_time: the time at which the broker appended its record, µs.
            topic: the topic of the requests.

        Returns:
            the futures of the records.

        Raises:
            ReportError: the spec does not fit the reference time.
        """
        reference = self._facts.reference_time(request, append_time)
        parts: dict[int, tuple[str, ...] | None] = dict.fromkeys(range(self._partitions))
        if request.store_ids is not None:
            stores: defaultdict[int, list[str]] = defaultdict(list)
            for store_id in request.store_ids:
                stores[partition_of(store_id.encode(), self._partitions)].append(store_id)
            parts = {part: tuple(store_ids) for part, store_ids in stores.items()}
        # a wrong range fails the report here, and not once for each part
        request.spec.span(reference)
        requests = [
            FleetPartRequest(
                request.report_id,
                part,
                len(parts),
                reference,
                original_request_time(request, append_time),
                store_ids,
                request.spec,
            )
            for part, store_ids in parts.items()
        ]
        return [
            await self._publisher.forward(topic, part.part, request.key, encode_request(part))
            for part in requests
        ]

    async def publish_part(
        self, owned: OwnedPartition, request: FleetPartRequest, results: TopicSpec
    ) -> list[asyncio.Future[Any]]:
        """Calculate the part of a partition and publish it chunk by chunk.

        Args:
            owned: the partition, which has caught up.
            request: the request of the part.
            results: the topic of the results.

        Returns:
            the futures of the records.

        Raises:
            ReportError: the part is of another partition, or has too many rows.
            RevokedError: the partition is revoked meanwhile.
            TableError: the database cannot be read.
        """
        if request.part != owned.number:
            raise ReportError(f"there is no partition {request.part}")
        # by key: as texts they would take four times the memory
        keys = sorted(
            owned.stores if request.store_ids is None else map(store_key, request.store_ids)
        )
        rows_each = _max_rows(request.spec, request.reference_time)
        if rows_each > 1 and len(keys) * rows_each > MAX_PART_ROWS:
            raise ReportError(
                f"{len(keys):,} stores of one partition by {rows_each} days are more than "
                f"{MAX_PART_ROWS:,} rows: ask for a shorter time, or name fewer stores"
            )
        stores = max(1, CHUNK_ROWS // rows_each)
        # a part without stores has one empty chunk: the report is complete with all parts only
        chunks = -(-len(keys) // stores) or 1
        attempt = str(uuid4())
        calculator = self._facts.calculator(owned, request.spec, request.reference_time)
        futures = []
        for chunk in range(chunks):
            rows: list[Row] = []
            named = keys[chunk * stores : (chunk + 1) * stores]
            # those of all stores that were removed meanwhile are left out
            present = (
                named if request.store_ids is not None else filter(owned.stores.__contains__, named)
            )
            for turn in calculator.calculate_rows(present):
                rows += turn
                await asyncio.sleep(0)
                if owned.revoked.is_set():
                    raise RevokedError(f"partition {owned.number} was revoked")
            event = ReportEvent(
                request.report_id,
                "running",
                self._clock(),
                chunk=ResultChunk(
                    part=request.part,
                    parts=request.parts,
                    attempt=attempt,
                    chunk=chunk,
                    chunks=chunks,
                    reference_time=request.reference_time,
                    rows=rows,
                    provenance=calculator.provenance,
                    input_offsets=calculator.input_offsets,
                    columns=request.spec.columns,
                    extra_columns=extra_columns(request.spec),
                    lost_input=tuple(calculator.lost_input),
                ),
            )
            futures.append(await self._publisher.publish_report_event(event, results))
        return futures


def _max_rows(spec: ReportSpec, reference: int) -> int:
    """Return the most rows that one store may have."""
    start, end = spec.span(reference)
    # a span that begins and ends within a day has part of one more day
    return (end - start) // DAY + 2 if spec.daily else 1
