"""Makes the input files: generated polls, the same on every machine, and published facts.

If more stores are needed than were published, others get the hours and timezones of those.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT: Final = Path(__file__).parent.parent
DATA: Final = ROOT / "data"

STORES: Final = 4_559
DAYS: Final = 17.44
"""Days of hourly polls: of all STORES they are 1.9 million."""

END: Final = datetime(2023, 1, 25, 18, 13, tzinfo=UTC)
SEED: Final = 2023


def _generator() -> Any:
    """Import the script in the folder of the sample data, which is no package."""
    spec = importlib.util.spec_from_file_location("generate_polls", DATA / "generate_polls.py")
    if spec is None or spec.loader is None:
        raise ImportError("data/generate_polls.py is missing")
    module = importlib.util.module_from_spec(spec)
    # its dataclasses need their module in sys.modules
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True)
class Inputs:
    """Three input files for `replay`, with the numbers of their stores and polls."""

    status: Path
    hours: Path
    zones: Path
    stores: int
    polls: int

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the options of `store-uptime replay`."""
        return (
            *("--status", str(self.status)),
            *("--hours", str(self.hours)),
            *("--zones", str(self.zones)),
        )


def make_inputs(folder: Path, *, stores: int = STORES, days: float = DAYS) -> Inputs:
    """Write files with hourly polls of `stores` stores over `days` days."""
    generator = _generator()
    folder.mkdir(parents=True, exist_ok=True)
    status, hours, zones = (folder / f"{name}.csv" for name in ("store_status", "hours", "zones"))
    polls = generator.generate(
        status, stores=stores, days=days, interval=generator.HOUR, seed=SEED, end=END
    )
    ids = generator.choose_store_ids(Random(SEED), stores)  # noqa: S311  as the generator draws
    _write_for(ids, DATA / "menu_hours.csv.gz", hours)
    _write_for(ids, DATA / "timezones.csv.gz", zones)
    return Inputs(status, hours, zones, stores, polls)


def store_ids(count: int) -> list[str]:
    """Return the first `count` store ids."""
    chosen: list[str] = _generator().choose_store_ids(Random(SEED), count)  # noqa: S311  as above
    return chosen


def _write_for(ids: Sequence[str], published: Path, output: Path) -> None:
    """Write the rows of these stores; a made-up store gets the rows of a published one."""
    rows: defaultdict[str, list[list[str]]] = defaultdict(list)
    with gzip.open(published, "rt", encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        place = [name.strip() for name in header].index("store_id")
        for row in reader:
            rows[row[place]].append(row)
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(_rows_of(ids, rows, place))


def _rows_of(
    ids: Sequence[str], rows: dict[str, list[list[str]]], place: int
) -> Iterable[list[str]]:
    models = sorted(rows)
    for number, store_id in enumerate(ids):
        if store_id in rows:
            yield from rows[store_id]
        elif number >= len(models):
            for row in rows[models[number % len(models)]]:
                yield [*row[:place], store_id, *row[place + 1 :]]
