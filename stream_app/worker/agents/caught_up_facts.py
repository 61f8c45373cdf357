"""The facts of this worker's partitions for reports, read once they have caught up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.topics import SOURCE_TOPICS
from stream_app.errors import BrokerUnavailableError, ReportError, RevokedError
from stream_app.worker.agents.report_calculator import ReportCalculator

if TYPE_CHECKING:
    from stream_app.contracts.report_requests import FleetRequest, ReportRequest
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.kafka.applied_offsets import AppliedOffsets
    from stream_app.settings import Settings
    from stream_app.worker.owned_partitions import OwnedPartition, OwnedPartitions

log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 0.5


class CaughtUpFacts:
    """Gives reports the facts of a partition that cover all records acknowledged before.

    Args:
        settings: reference clock and the settings of `ReportCalculator`.
        owned_partitions: the partitions of this worker.
        applied_offsets: the offsets that all workers have applied.
    """

    def __init__(
        self,
        settings: Settings,
        owned_partitions: OwnedPartitions,
        applied_offsets: AppliedOffsets,
    ) -> None:
        self._settings = settings
        self._owned_partitions = owned_partitions
        self._applied_offsets = applied_offsets

    async def partition(self, number: int) -> OwnedPartition:
        """Wait until a partition of this worker has caught up.

        Raises:
            RevokedError: the partition is not owned here, or is revoked meanwhile.
        """
        owned = self._owned_partitions.get(number)
        if owned is None:
            raise RevokedError(f"partition {number} is not owned here now")
        await _or_revoked(owned, self._catch_up(owned))
        return owned

    def reference_time(self, request: ReportRequest | FleetRequest, append_time: int) -> int:
        """Return the reference time of a request: its own, or by the reference clock; µs.

        Args:
            request: the request.
            append_time: the time at which the broker appended its record, µs.

        Raises:
            ReportError: there is no poll yet that could set it.
        """
        if request.reference_time is not None:
            return request.reference_time
        if self._settings.reference_clock == "wall":
            return append_time
        newest = self._applied_offsets.newest_poll()
        if newest is None:
            raise ReportError(
                "no poll of any store has come in yet, and the request names no reference_time"
            )
        return newest

    def calculator(
        self, owned: OwnedPartition, spec: ReportSpec, reference: int
    ) -> ReportCalculator:
        """Return the calculator of a partition's figures; see `ReportCalculator`."""
        return ReportCalculator(self._settings, owned, spec, reference)

    async def _catch_up(self, owned: OwnedPartition) -> None:
        while True:
            try:
                end_offsets = await self._applied_offsets.catch_up()
            except BrokerUnavailableError as error:
                log.warning("a report waits: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        # A watermark outlives the worker that wrote it. The records that a crashed owner had
        # applied, but not yet written to the changelog, come again from the source: wait for our
        # own table too.
        while any(
            owned.applied(spec.name) < end_offsets[spec.name, owned.number]
            for spec in SOURCE_TOPICS
        ):
            owned.applied_changed.clear()
            await owned.applied_changed.wait()


async def _or_revoked(owned: OwnedPartition, waiting: Any) -> None:
    """Wait for a coroutine, at most until the partition is revoked.

    Raises:
        RevokedError: the partition was revoked.
    """
    wait = asyncio.ensure_future(waiting)
    revoked = asyncio.ensure_future(owned.revoked.wait())
    try:
        await asyncio.wait({wait, revoked}, return_when=asyncio.FIRST_COMPLETED)
        if owned.revoked.is_set():
            raise RevokedError(f"partition {owned.number} was revoked")
        wait.result()
    finally:
        wait.cancel()
        revoked.cancel()
