from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from producers.csv_replay.folder import MAX_LISTED_FILES, FolderFiles, find_files
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = Path(__file__).parents[4] / "data"
POLLS = "store_id,status,timestamp_utc\n"
HOURS = "store_id,dayOfWeek,start_time_local,end_time_local\n"
ZONES = "store_id,timezone_str\n"


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        put(folder / name, content)


def put(path: Path, content: str) -> None:
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.name.lower().endswith(".gz") else data)


def find(folder: Path, **named: Sequence[Path]) -> FolderFiles:
    return find_files(folder, dict(named))


def names_of(files: FolderFiles) -> dict[str, list[str]]:
    return {kind: [path.name for path in paths] for kind, paths in files.paths.items()}


@pytest.mark.parametrize(
    ("polls", "hours", "zones"),
    [
        ("store_status.csv", "business_hours.csv", "store_timezone.csv"),
        ("Store Status.csv", "Menu hours.csv", "Store Timezones.CSV"),
        ("store-status.csv.gz", "MENU_HOURS.csv.GZ", "timezones.csv.gz"),
        ("storestatus.csv", "store_business_hours.csv", "bq-results-20230125-141345-167.csv"),
        ("export (1).csv", "menu_hours (2).csv", "Copy of timezones.csv"),
        ("store_status-000000000000.csv.gz", "menu hours-000000000000.csv", "a\nb.csv"),
        ("p.csv", "h.csv", "z.csv"),
    ],
)
def test_files_are_used_by_their_usual_names_or_else_by_their_headers(
    tmp_path: Path, polls: str, hours: str, zones: str
) -> None:
    put(tmp_path / polls, POLLS)
    put(tmp_path / hours, HOURS)
    put(tmp_path / zones, ZONES)
    files = find(tmp_path)
    assert names_of(files) == {"polls": [polls], "hours": [hours], "zones": [zones]}
    assert files.notes == []


@pytest.mark.parametrize("pattern", ["NAME-00000000000{}.csv", "NAME00000000000{}.csv.gz"])
def test_the_shards_of_a_table_are_all_used(tmp_path: Path, pattern: str) -> None:
    for number in range(3):
        for name, content in (("store_status", POLLS), ("menu_hours", HOURS), ("tz", ZONES)):
            put(tmp_path / pattern.replace("NAME", name).format(number), content)
    assert [len(paths) for paths in find(tmp_path).paths.values()] == [3, 3, 3]


def test_the_parts_of_a_spark_job_are_all_used(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"part-0000{number}-5f2c-c000.csv", HOURS)
    assert len(find(tmp_path).paths["hours"]) == 3


def test_the_files_of_the_sample_are_used_and_its_other_files_are_named() -> None:
    files = find(SAMPLE)
    assert names_of(files) == {
        "polls": ["store_status.csv.gz"],
        "hours": ["menu_hours.csv.gz"],
        "zones": ["timezones.csv.gz"],
    }
    assert files.notes == [
        f"not used: {name} (polls, as store_status.csv.gz; --status sends it too)"
        for name in ("store_status_2023.csv.gz", "store_status_2023_excerpt.csv.gz")
    ]


def test_every_unused_file_that_may_be_input_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{"store_status.csv": POLLS, "old_polls.csv": POLLS, "prices.csv": "a,b\n"})
    write(tmp_path, **{"empty.csv": "", "menu_hours.xlsx": "", "timezones": ZONES})
    write(tmp_path, **{"business_hours.csv.zip": "", "store_status.tsv": "", "x.json": "{}"})
    write(tmp_path, **{".hidden.csv": HOURS, "._store_status.csv": "", "README.md": "", "a.py": ""})
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", **{"menu_hours.csv": HOURS})
    (tmp_path / "spark.csv").mkdir()
    (tmp_path / "without").mkdir()
    os.mkfifo(tmp_path / "zones.csv")
    (tmp_path / "link.csv").symlink_to("store_status.csv")
    files = find(tmp_path)
    assert names_of(files) == {"polls": ["store_status.csv"], "hours": [], "zones": []}
    assert sorted(note.removeprefix("not used: ").split(" (")[0] for note in files.notes) == sorted(
        [
            *(".hidden.csv", "business_hours.csv.zip", "empty.csv", "link.csv", "menu_hours.xlsx"),
            *("old_polls.csv", "prices.csv", "spark.csv", "store_status.tsv", "sub", "timezones"),
            *("x.json", "zones.csv"),
        ]
    )


def test_a_link_to_a_file_elsewhere_is_used(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path, real=HOURS)
    (tmp_path / "in" / "menu_hours.csv").symlink_to(tmp_path / "real")
    assert names_of(find(tmp_path / "in"))["hours"] == ["menu_hours.csv"]


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "any.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreUptimeError, match=r"any\.csv: cannot be read: No such file"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ("store_status.csv", "store_status.csv.gz"),
            r"has store_status\.csv and store_status\.cs",
        ),
        (("Store Status.csv", "store_status.csv"), "both polls: name the right one with --status"),
        (("menu_hours.csv", "business_hours.csv"), "both hours: name the right one with --hours"),
        (("hours_2023.csv", "hours_2024.csv"), "both hours: name the right one with --hours"),
        (("hours_202301251430.csv", "hours_202401251430.csv"), "both hours"),
        (("menu_hours.csv", "menu_hours-000000000000.csv"), "both hours"),
        (
            ("timezones.csv", "store_timezone.csv"),
            "both timezones: name the right one with --zones",
        ),
    ],
)
def test_two_files_of_one_kind_are_an_error_that_names_the_option(
    tmp_path: Path, files: tuple[str, ...], message: str
) -> None:
    kinds = {"s": POLLS, "S": POLLS, "m": HOURS, "b": HOURS, "h": HOURS, "t": ZONES}
    for name in files:
        put(tmp_path / name, ZONES if "timezone" in name else kinds[name[0]])
    with pytest.raises(StoreUptimeError, match=message):
        find(tmp_path)


def test_several_files_of_polls_are_all_used_for_polls_are_a_set(tmp_path: Path) -> None:
    write(tmp_path, **{"january.csv": POLLS, "february.csv": POLLS})
    assert names_of(find(tmp_path))["polls"] == ["february.csv", "january.csv"]


def test_a_header_of_two_kinds_is_an_error_that_names_the_options(
    tmp_path: Path,
) -> None:
    write(tmp_path, **{"all.csv": "store_id,status,timestamp_utc,timezone_str\n"})
    with pytest.raises(
        StoreUptimeError, match="of polls and of timezones: name it with --status or --"
    ):
        find(tmp_path)


def test_a_file_of_a_usual_name_is_of_that_kind_whatever_else_it_has(tmp_path: Path) -> None:
    write(tmp_path, **{"store_status.csv": "store_id,status,timestamp_utc,timezone_str\n"})
    assert names_of(find(tmp_path))["polls"] == ["store_status.csv"]


@pytest.mark.parametrize("content", ["store_id;timezone_str\n", POLLS.replace("\n", "\rU,active")])
def test_a_csv_that_cannot_be_read_is_an_error(tmp_path: Path, content: str) -> None:
    write(tmp_path, **{"store_status.csv": POLLS, "other.csv": content})
    with pytest.raises(StoreUptimeError, match=r"other\.csv: "):
        find(tmp_path)


def test_a_file_named_by_an_option_is_not_used_twice(tmp_path: Path) -> None:
    write(tmp_path, **{"menu_hours.csv": HOURS, "new.csv": HOURS, "both.csv": POLLS + ZONES})
    write(tmp_path, **{"store_status.csv": POLLS})
    files = find(tmp_path, hours=[tmp_path / "new.csv"], zones=[tmp_path / "both.csv"])
    assert names_of(files) == {"polls": ["store_status.csv"]}
    assert files.notes == ["not used: menu_hours.csv (--hours names the hours to send)"]


@pytest.mark.parametrize("names", [(), ("prices.csv",), ("store_status.json",)])
def test_a_folder_without_any_input_is_an_error_that_names_its_files(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        put(tmp_path / name, "a,b\n")
    with pytest.raises(StoreUptimeError, match="has no CSV of polls, hours or timezones") as raised:
        find(tmp_path)
    assert all(name in str(raised.value) for name in names)


def test_a_path_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, file="")
    for name in ("file", "nowhere"):
        with pytest.raises(StoreUptimeError, match=f"{name}: cannot be read"):
            find(tmp_path / name)


def test_only_some_of_many_unused_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, **{f"{number}.json": "" for number in range(MAX_LISTED_FILES + 5)})
    write(tmp_path, **{"store_status.csv": POLLS})
    notes = find(tmp_path).notes
    assert len(notes) == MAX_LISTED_FILES + 1
    assert notes[-1] == "... and 5 more files that are not used"
