"""Finds the sample data: within an installed package, or in `data/` of a checkout."""

from __future__ import annotations

import csv
import gzip
from importlib.resources import files
from pathlib import Path
from typing import Final

from stream_app.errors import PrerequisiteError

POLLS: Final = "store_status.csv.gz"
HOURS: Final = "menu_hours.csv.gz"
ZONES: Final = "timezones.csv.gz"
FILES: Final = (POLLS, HOURS, ZONES)
"""The files that the demo replays; pyproject.toml puts them into the wheel."""


def sample_folder() -> Path:
    """Find the folder of the sample data that belongs to this program."""
    package = Path(str(files("stream_app")))
    packaged = package / "sample"
    return packaged if packaged.is_dir() else package.parent / "data"


def check_sample(folder: Path) -> None:
    """Check that a folder holds every file of the sample.

    Raises:
        PrerequisiteError: one is missing.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise PrerequisiteError(f"the sample data is missing: {folder} has no {', '.join(missing)}")


def first_stores(folder: Path, count: int) -> list[str]:
    """List the first stores in the sample's polls, in the order of the file."""
    stores: dict[str, None] = {}
    with gzip.open(folder / POLLS, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            stores.setdefault(row["store_id"])
            if len(stores) == count:
                break
    return list(stores)
