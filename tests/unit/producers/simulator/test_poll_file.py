from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_rows import StoreNumbers, parse_poll_line
from producers.csv_replay.table import POLLS, Columns
from producers.simulator.poll_file import PollFile, poll_row
from stream_app.domain.timestamps import LATEST
from stream_app.errors import StoreUptimeError
from tests.unit.contracts import wire

if TYPE_CHECKING:
    from stream_app.contracts.polls import PollBatch

A = "0a0a0a0a-1111-4222-8333-444444444444"
HEADER = "store_id,status,timestamp_utc"


def test_the_file_has_the_form_of_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    with PollFile(path) as file:
        file.add(A, 1_710_072_000_000_001, active=True)
        file.add(A, 1_710_072_000_000_000, active=False)
        assert path.read_text(encoding="utf-8") == ""
        file.flush()
        assert len(path.read_text(encoding="utf-8").splitlines()) == 3
        file.add(A, 0, active=True)
    assert file.rows == 3
    assert path.read_text(encoding="utf-8") == (
        f"{HEADER}\n"
        f"{A},active,2024-03-10 12:00:00.000001 UTC\n"
        f"{A},inactive,2024-03-10 12:00:00.000000 UTC\n"
        f"{A},active,1970-01-01 00:00:00.000000 UTC\n"
    )


def test_a_second_run_adds_to_the_file_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    for instant in (1, 2):
        with PollFile(path) as file:
            file.add(A, instant, active=True)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == [HEADER, poll_row(A, 1, active=True), poll_row(A, 2, active=True)]


def test_a_run_without_polls_leaves_a_file_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "polls.csv"
    with PollFile(path):
        pass
    table = Table(path, POLLS)
    table.close()
    assert table.columns is not None


@given(wire.poll_batches)
def test_a_replay_reads_the_recorded_polls_back(batch: PollBatch) -> None:
    stores = StoreNumbers()
    columns = Columns(3, (0, 1, 2))
    for instant, active in batch.polls:
        row = poll_row(batch.store_id, instant, active=active).encode()
        assert parse_poll_line(row, columns, stores, LATEST) == (0, instant, active)
    assert stores.ids == [batch.store_id]


@pytest.mark.parametrize("content", [b"a,b,c\n", b"\xff\xfe\n", b"x" * 100_000])
def test_a_file_of_another_format_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(StoreUptimeError, match=r"other\.csv: "), PollFile(path):
        pass
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreUptimeError, match="cannot be written: No such file"),
        PollFile(tmp_path / "none" / "polls.csv"),
    ):
        pass


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    file = PollFile(tmp_path / "polls.csv").__enter__()
    file._file.close()
    file._file = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115  the file closes it
    file.add(A, 1, active=True)
    with pytest.raises(StoreUptimeError, match=r"polls\.csv: cannot be written: No space left"):
        file.__exit__()
    assert file._file.closed
