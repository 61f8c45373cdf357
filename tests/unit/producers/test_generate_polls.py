"""The committed sample data equals the output of its generator."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from producers.csv_replay.open_file import Table
from producers.csv_replay.poll_rows import StoreNumbers, read_polls
from producers.csv_replay.table import POLLS
from stream_app.domain.timestamps import parse_instant

DATA = Path(__file__).parents[3] / "data"
LATEST = parse_instant("2023-01-25 18:13:00 UTC")


def generate(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, DATA / "generate_polls.py", *arguments], check=True, capture_output=True
    )


def digest(path: Path) -> str:
    # the digest covers the rows: another zlib may compress them to other bytes
    return hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("store_status.csv.gz", ()),
        ("store_status_2023.csv.gz", ("--rekey", DATA / "store_status_2023_excerpt.csv.gz")),
    ],
)
def test_the_committed_file_is_the_output_of_its_command(
    tmp_path: Path, name: str, arguments: tuple[str | Path, ...]
) -> None:
    first, second = tmp_path / "first.csv.gz", tmp_path / "second.csv.gz"
    generate("--output", first, *arguments)
    generate("--output", second, *arguments)
    assert first.read_bytes() == second.read_bytes()
    assert digest(first) == digest(DATA / name)


def test_another_seed_makes_another_history_of_the_requested_size(tmp_path: Path) -> None:
    sizes = ("--stores", "20", "--days", "2", "--interval", "30m")
    generate("--output", tmp_path / "1.csv", *sizes, "--seed", "1")
    generate("--output", tmp_path / "2.csv", *sizes, "--seed", "2")
    first, second = ((tmp_path / f"{n}.csv").read_text().splitlines() for n in (1, 2))
    assert first != second
    assert len({line.split(",")[0] for line in first[1:]}) == 20
    assert len(first) == pytest.approx(20 * 2 * 48, rel=0.1)


def test_more_stores_than_the_real_ones_get_new_ids(tmp_path: Path) -> None:
    generate("--output", tmp_path / "polls.csv", "--stores", "4700", "--days", "0.5")
    lines = (tmp_path / "polls.csv").read_text().splitlines()
    assert len({line.split(",")[0] for line in lines[1:]}) > 4559


@pytest.mark.parametrize(
    ("name", "rows", "stores"),
    [("store_status.csv.gz", 56_625, 300), ("store_status_2023.csv.gz", 5_032, 3_966)],
)
def test_every_row_of_the_sample_is_good_and_ends_by_one_time(
    name: str, rows: int, stores: int
) -> None:
    table = Table(DATA / name, POLLS)
    numbers = StoreNumbers()
    chunks = list(read_polls(table, numbers, lambda: LATEST))
    table.close()
    assert [row for chunk in chunks for row in chunk.rejected] == []
    assert sum(chunk.accepted.height for chunk in chunks) == rows
    assert len(numbers.ids) == stores


def test_the_generated_polls_have_the_oddities_of_real_ones() -> None:
    lines = gzip.decompress((DATA / "store_status.csv.gz").read_bytes()).decode().splitlines()[1:]
    rows = [tuple(line.split(",")) for line in lines]
    assert sum(count > 1 for count in Counter(rows).values()) > 100, "duplicates"
    moments = Counter((store, time) for store, _, time in set(rows))
    assert sum(count > 1 for count in moments.values()) > 10, "conflicts"
    assert sum(later[2][:13] < row[2][:13] for row, later in pairwise(rows)) > 100, "late ones"
    inactive = sum(status == "inactive" for _, status, _ in rows)
    assert 0.03 < inactive / len(rows) < 0.3
