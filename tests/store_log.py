"""Fakes timezone records of one store on all partitions, and the worker that forwards them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.revisions import (
    ORIGIN_HEADER,
    RecordOrigin,
    encode_origin,
    forwarded_key,
    origin_of,
)
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import STORE_TIMEZONES
from tests.agent_fakes import PARTITIONS, store_in
from tests.fake_record import FakeRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

STORE = store_in(0)
OWN = partition_of(STORE.encode(), PARTITIONS)
OTHERS = tuple(number for number in range(PARTITIONS) if number != OWN)


class StoreLog:
    """The records of clients and those that a worker forwarded, with times of one clock.

    Attributes:
        clock: the brokers' time in ms.
        records: the records by partition.
        newest: name of the timezone in the record that counts as the newest. Of two records of
            one millisecond it is the one on the store's own partition, else the one of the higher
            partition, else the one of the higher offset.
    """

    def __init__(self) -> None:
        self.clock = 1_000
        self.records: defaultdict[int, list[FakeRecord]] = defaultdict(list)
        self.newest = ""
        self._newest_at = (0, False, 0, 0)
        self._names = 0
        self._forwarded: defaultdict[int, int] = defaultdict(int)

    @property
    def own(self) -> list[FakeRecord]:
        """Return the records of the store's own partition, from which all readers read."""
        return self.records[OWN]

    def send(self, partition: int, *, passed: int = 0) -> str:
        """Append a client's record `passed` ms after the last one, and return its timezone."""
        self.clock += passed
        self._names += 1
        name = f"Zone/{self._names}"
        record = self._append(partition, STORE.encode(), encode_timezone(STORE, name))
        at = (record.timestamp, partition == OWN, record.partition, record.offset)
        if at > self._newest_at:
            self._newest_at, self.newest = at, name
        return name

    def forward(self, partition: int, *, passed: int = 0) -> bool:
        """Forward the next record of another partition; return False if there is none."""
        self.clock += passed
        position = self._forwarded[partition]
        if partition == OWN or position == len(self.records[partition]):
            return False
        self._forwarded[partition] += 1
        record = self.records[partition][position]
        origin = origin_of(record)
        key = forwarded_key(STORE, origin).encode()
        assert record.value is not None
        self._append(OWN, key, record.value, [(ORIGIN_HEADER, encode_origin(origin))])
        return True

    def forge(self, claimed: RecordOrigin, *, passed: int = 0) -> None:
        """Append a client's record to the store's own partition with a header of a worker."""
        self.clock += passed
        value = encode_timezone(STORE, "Forged/Zone")
        self._append(OWN, STORE.encode(), value, [(ORIGIN_HEADER, encode_origin(claimed))])

    def forward_all(self) -> None:
        for partition in OTHERS:
            while self.forward(partition):
                pass

    def read_again(self, partition: int, position: int) -> None:
        """Set the group's offset of another partition back, as happens when it expires."""
        self._forwarded[partition] = min(position, self._forwarded[partition])

    def _append(
        self,
        partition: int,
        key: bytes,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> FakeRecord:
        log = self.records[partition]
        record = FakeRecord(
            STORE_TIMEZONES.name,
            value,
            partition=partition,
            offset=len(log),
            timestamp=self.clock,
            key=key,
            headers=headers,
        )
        log.append(record)
        return record


def compacted(records: Sequence[FakeRecord]) -> list[FakeRecord]:
    """Return the log after Kafka's compaction: the last record of each key."""
    last = {record.key: record.offset for record in records}
    return [record for record in records if record.offset == last[record.key]]
