"""Records of a partition in runs: in order, none missing, none too long."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from stream_app.worker.record_chunks import MAX_CHUNK_BYTES, MAX_CHUNK_RECORDS, split_into_chunks

sizes = st.lists(
    st.sampled_from([None, 0, 1, 100, MAX_CHUNK_BYTES // 3, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1]),
    max_size=4_500,
)


@given(sizes)
def test_runs_are_all_records_in_order_and_bounded(lengths: list[int | None]) -> None:
    records = [
        SimpleNamespace(offset=offset, value=None if length is None else memoryview(bytes(length)))
        for offset, length in enumerate(lengths)
    ]

    runs = [list(run.records) for run in split_into_chunks(records)]

    assert [record for run in runs for record in run] == records
    assert all(runs)
    for run in runs:
        assert len(run) <= MAX_CHUNK_RECORDS
        assert len(run) == 1 or sum(len(record.value or b"") for record in run) <= MAX_CHUNK_BYTES


def test_pings_share_runs_as_far_as_they_go() -> None:
    records = [SimpleNamespace(offset=offset, value=b"x" * 100) for offset in range(5000)]

    assert [len(run.records) for run in split_into_chunks(records)] == [2000, 2000, 1000]
