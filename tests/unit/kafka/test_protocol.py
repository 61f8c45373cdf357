"""Tests of the bytes of the requests that aiokafka does not have."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol.types import CompactArray, Int16, Int32, TaggedFields

from stream_app.kafka.protocol import (
    DescribeTopicsRequest,
    GroupRightsRequest,
    IncrementalAlterConfigsRequest,
    _ReplicaCounts,
)

PARTITIONS = CompactArray(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    ("tags", TaggedFields),
)


@pytest.mark.parametrize("counts", [[], [1], [3, 2, 5], [3] * 200, [150, 1]])
def test_partitions_and_their_replicas_are_counted(counts: list[int]) -> None:
    partitions: list[Any] = [
        (0, number, 1, 7, list(range(count)), [1] * (number % 3), [2] * (number % 2), {})
        for number, count in enumerate(counts)
    ]
    data = BytesIO(PARTITIONS.encode(partitions) + b"behind")
    assert _ReplicaCounts.decode(data) == counts
    assert data.read() == b"behind"


def built(request: Any, key: int, version: int) -> bytes:
    struct = request.prepare({key: (0, version)})
    encoded: bytes = struct.encode()
    return encoded


def test_topics_are_asked_for_by_name_and_none_is_created() -> None:
    # two topics: no id, name, no tags; no creation, with operations, no tags
    assert built(DescribeTopicsRequest(["ab", "c"]), 3, 13) == (
        b"\x03" + bytes(16) + b"\x03ab\x00" + bytes(16) + b"\x02c\x00" + b"\x00\x01\x00"
    )


def test_the_request_for_a_group_asks_for_the_rights_of_this_client() -> None:
    assert built(GroupRightsRequest("ab"), 15, 5) == b"\0\0\0\x01\0\x02ab\x01"
    assert GroupRightsRequest("g").prepare({15: (0, 5)}).RESPONSE_TYPE.API_VERSION == 3


def test_single_settings_are_set() -> None:
    # one topic (2), one setting: name, operation 0 (set), value; carried out, not only validated
    request = IncrementalAlterConfigsRequest({"t": {"a.b": "c"}})
    assert built(request, 44, 1) == (
        b"\0\0\0\x01\x02\0\x01t" + b"\0\0\0\x01\0\x03a.b\0\0\x01c" + b"\0"
    )
