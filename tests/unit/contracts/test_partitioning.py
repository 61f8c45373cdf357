from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.partitioning import partition_of
from stream_app.kafka.clients import _partitioner

MURMUR2 = [
    ("21", -973932308),
    ("foobar", -790332482),
    ("a-little-bit-long-string", -985981536),
    ("a-little-bit-longer-string", -1486304829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ("abc", 479470107),
]
"""Keys and their hashes in the tests of Kafka's Java client (UtilsTest.testMurmur2)."""


@pytest.mark.parametrize(("key", "murmur2"), MURMUR2)
@pytest.mark.parametrize("partitions", [1, 3, 8, 1000])
def test_a_key_lies_where_the_java_client_puts_it(key: str, murmur2: int, partitions: int) -> None:
    # the Java client clears the sign bit
    assert partition_of(key.encode(), partitions) == (murmur2 & 0x7FFFFFFF) % partitions


def test_stores_spread_over_all_partitions() -> None:
    keys = [str(UUID(int=number)).encode() for number in range(1000)]
    counts = [0] * 8
    for key in keys:
        counts[partition_of(key, 8)] += 1
    assert min(counts) > 75


@given(st.binary(), st.integers(1, 1000))
def test_our_producers_use_the_same_function(key: bytes, partitions: int) -> None:
    everyone = list(range(partitions))
    assert _partitioner(key, everyone, everyone[:1]) == partition_of(key, partitions)


def test_a_record_without_a_key_has_a_partition_too() -> None:
    assert _partitioner(None, [0, 1, 2], []) == partition_of(b"", 3)
