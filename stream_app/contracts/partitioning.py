"""The partition of a store, chosen as Kafka's default does: murmur2 of the key's bytes."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that the Java and aiokafka clients choose for this key."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
