"""The result of one chunk of records, collected while they are applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_app.contracts.revisions import RecordOrigin
    from stream_app.kafka.batch_producer import Batch
    from stream_app.worker.owned_partitions import OwnedPartition


@dataclass(frozen=True, slots=True)
class MisplacedRecord:
    """A record whose store another partition owns.

    Attributes:
        record: the record as it was read.
        store_id: the store.
        partition: the partition that owns the store.
        origin: the first place of the record, by which it replaces nothing newer and undoes no
            removal.
    """

    record: Any
    store_id: str
    partition: int
    origin: RecordOrigin


@dataclass(slots=True)
class ChunkResult:
    """The result of applying the records of one chunk.

    Attributes:
        owned: the partition.
        batches: the changelog records that were written.
        stores: the stores that the records name.
        newest_poll: µs of the newest poll; None if there is no poll.
        latest: the newest poll of each store, packed.
        stores_without_polls: the stores whose polls were removed.
        retracted_stores: the stores of which a record removed polls, hours or the timezone.
        gone_stores: those of them that have no fact any more.
        new_store_capacity: how many new stores the chunk may bring; None if nobody has asked yet.
        accepted_stores: the new stores that were accepted.
        rejected: records with the reason why they, or a part of them, were rejected.
        late_records: records of polls that are older than the retention, with the reason and the
            number of these polls.
        expired_polls: number of polls that were dropped, because much newer ones came.
        misplaced_records: records whose store another partition owns.
    """

    owned: OwnedPartition
    batches: dict[Batch, None] = field(default_factory=dict)
    stores: set[bytes] = field(default_factory=set)
    newest_poll: int | None = None
    latest: dict[bytes, int] = field(default_factory=dict)
    stores_without_polls: set[bytes] = field(default_factory=set)
    retracted_stores: set[bytes] = field(default_factory=set)
    gone_stores: set[bytes] = field(default_factory=set)
    new_store_capacity: int | None = None
    accepted_stores: set[bytes] = field(default_factory=set)
    rejected: list[tuple[Any, str]] = field(default_factory=list)
    late_records: list[tuple[Any, str, int]] = field(default_factory=list)
    expired_polls: int = 0
    misplaced_records: list[MisplacedRecord] = field(default_factory=list)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value of the partition's facts; None deletes the key."""
        self.batches[self.owned.put(key, value)] = None
