"""Records of a partition are split into chunks: in order, none missing, no chunk too long."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.worker import record_chunks
from stream_app.worker.record_chunks import split_into_chunks

MOST_BYTES = 300

sizes = st.lists(st.sampled_from([None, 0, 1, 10, 100, MOST_BYTES, MOST_BYTES + 1]), max_size=100)


@given(sizes, st.integers(1, 40))
def test_chunks_have_all_records_in_order_and_are_bounded(
    lengths: list[int | None], most_records: int
) -> None:
    records = [
        SimpleNamespace(offset=offset, value=None if length is None else memoryview(bytes(length)))
        for offset, length in enumerate(lengths)
    ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_chunks, "MAX_CHUNK_RECORDS", most_records)
        patch.setattr(record_chunks, "MAX_CHUNK_BYTES", MOST_BYTES)
        chunks = [list(chunk.records) for chunk in split_into_chunks(records)]

    assert [record for chunk in chunks for record in chunk] == records
    assert all(chunks)
    for chunk in chunks:
        assert len(chunk) <= most_records
        assert len(chunk) == 1 or sum(len(record.value or b"") for record in chunk) <= MOST_BYTES


def test_small_records_fill_chunks_of_twenty_thousand() -> None:
    records = [SimpleNamespace(offset=offset, value=b"x" * 100) for offset in range(50_000)]

    assert [len(chunk.records) for chunk in split_into_chunks(records)] == [20_000, 20_000, 10_000]
