"""Reads record batches from the bytes of a fetch response."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka.record import MemoryRecords


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """One record batch."""

    base_offset: int
    next_offset: int
    records: list[Any]
    error: str | None = None


def read_batches(data: bytes) -> Iterator[ReadBatch]:
    """Read the whole batches of a fetch response."""
    batches = MemoryRecords(data)
    while batches.has_next():
        batch = batches.next_batch()
        records = [] if batch.is_control_batch else list(batch)
        yield ReadBatch(batch.base_offset, batch.next_offset, records)
