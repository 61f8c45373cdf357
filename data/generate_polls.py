# ruff: noqa: INP001  a script beside its data, in no package
"""Make poll files: generated polls of real stores, or the real polls of 2023 on these stores.

    python data/generate_polls.py --output data/store_status.csv.gz
    python data/generate_polls.py --stores 4559 --days 17 --output load.csv

Standard library only. The same arguments give the same bytes: `random.Random` is specified to
repeat its sequence, and the gzip header carries neither time nor name.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import random
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
HEADER: Final = "store_id,status,timestamp_utc\n"

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Temper:
    """How often stores of one sort fail, and for how long (µs)."""

    share: float
    between: int
    shortest: int
    longest: int


STEADY: Final = Temper(0.70, 5 * DAY, 20 * MINUTE, 4 * HOUR)
SHAKY: Final = Temper(0.20, 1 * DAY, 30 * MINUTE, 9 * HOUR)
FLAPPING: Final = Temper(0.07, 3 * HOUR, 30 * MINUTE, 3 * HOUR)
FAILING: Final = Temper(0.03, 2 * DAY, 2 * DAY, 6 * DAY)
TEMPERS: Final = (STEADY, SHAKY, FLAPPING, FAILING)

SHARE_WITH_GAPS: Final = 0.15
SHARE_REPEATED: Final = 0.003
SHARE_CONFLICTING: Final = 0.0005
SHARE_LATE: Final = 0.005


@dataclass
class Store:
    """A made-up history of one store: when its status changes, and which rounds miss it."""

    store_id: str
    changes: list[int] = field(default_factory=list)
    missed_rounds: set[int] = field(default_factory=set)
    seen_changes: int = 0

    def active_at(self, instant: int) -> bool:
        """Status at an instant (µs), which is not before the one asked for last."""
        while self.seen_changes < len(self.changes) and self.changes[self.seen_changes] <= instant:
            self.seen_changes += 1
        return self.seen_changes % 2 == 0


def imagine_store(chance: random.Random, store_id: str, start: int, end: int, rounds: int) -> Store:
    """One store's outages and poll gaps over [start, end), in µs."""
    store = Store(store_id)
    (temper,) = chance.choices(TEMPERS, weights=[temper.share for temper in TEMPERS])
    # the first outage may have begun before the first poll
    instant = start - DAY
    while instant < end:
        down = instant + int(chance.expovariate(1 / temper.between))
        instant = down + chance.randrange(temper.shortest, temper.longest)
        store.changes += [down, instant]
    if chance.random() < SHARE_WITH_GAPS:
        for _ in range(chance.randint(1, 3)):
            first = chance.randrange(rounds)
            store.missed_rounds.update(range(first, first + chance.randint(3, 24)))
    return store


def poll_lines(
    stores: list[Store], chance: random.Random, start: int, end: int, interval: int
) -> Iterator[str]:
    """Poll lines in the order in which they were received: by time, but for the late ones."""
    hours = {
        hour: (EPOCH + timedelta(hours=hour)).strftime("%Y-%m-%d %H")
        for hour in range(start // HOUR, end // HOUR + 1)
    }
    late: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    odd = SHARE_REPEATED + SHARE_CONFLICTING + SHARE_LATE
    draw = chance.random
    for number, begin in enumerate(range(start, end, interval)):
        received = late.pop(number, [])
        for store in stores:
            # most polls come early in their interval, as in the real excerpt
            position = draw()
            instant = begin + int(position * position * 0.4 * interval)
            if number in store.missed_rounds or instant >= end:
                continue
            active = store.active_at(instant)
            hour, rest = divmod(instant, HOUR)
            minute, rest = divmod(rest, MINUTE)
            second, fraction = divmod(rest, SECOND)
            time = f"{hours[hour]}:{minute:02}:{second:02}.{fraction:06} UTC\n"
            row = (instant, f"{store.store_id},{'active' if active else 'inactive'},{time}")
            pick = draw()
            if pick >= odd:
                received.append(row)
            elif pick < SHARE_LATE:
                late[number + chance.randint(1, 12)].append(row)
            elif pick < SHARE_LATE + SHARE_REPEATED:
                received += [row, row]
            else:
                other = f"{store.store_id},{'inactive' if active else 'active'},{time}"
                received += [row, (instant, other)]
        received.sort()
        yield from (line for _, line in received)
    for rows in late.values():
        yield from (line for _, line in rows)


def real_store_ids() -> list[str]:
    """The ids of the real stores, sorted."""
    with gzip.open(HERE / "timezones.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return sorted({row["store_id"] for row in csv.DictReader(file)})


def choose_store_ids(chance: random.Random, count: int) -> list[str]:
    """That many ids: real ones first, made-up ones only beyond their number."""
    real = real_store_ids()
    if count <= len(real):
        return sorted(chance.sample(real, count))
    return real + [
        str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(count - len(real))
    ]


def generate(
    output: Path, *, stores: int, days: float, interval: int, seed: int, end: datetime
) -> int:
    """Write a file of generated polls.

    Args:
        output: the file; a name that ends in .gz is compressed.
        stores: how many stores.
        days: how long before `end` the polls begin.
        interval: µs between two polls of a store.
        seed: another seed, another history.
        end: no poll is at or after it.

    Returns:
        the number of rows.
    """
    chance = random.Random(seed)  # noqa: S311  sample data, no secret
    last = (end - EPOCH) // timedelta(microseconds=1)
    first = last - int(days * DAY)
    rounds = -(-(last - first) // interval)
    imagined = [
        imagine_store(chance, store_id, first, last, rounds)
        for store_id in choose_store_ids(chance, stores)
    ]
    count = 0
    with open_output(output) as file:
        file.write(HEADER)
        for line in poll_lines(imagined, chance, first, last, interval):
            file.write(line)
            count += 1
    return count


def rekey(excerpt: Path, output: Path) -> int:
    """Put the real polls of 2023, whose store ids are numbers, onto the real stores.

    The n-th smallest number becomes the n-th smallest store id; there are fewer numbers than
    ids, so each number keeps a store of its own. Rows, order, statuses and times stay.

    Returns:
        the number of rows.
    """
    with gzip.open(excerpt, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = sorted({int(row["store_id"]) for row in rows})
    ids = dict(zip(numbers, real_store_ids(), strict=False))
    with open_output(output) as file:
        file.write(HEADER)
        for row in rows:
            file.write(f"{ids[int(row['store_id'])]},{row['status']},{row['timestamp_utc']}\n")
    return len(rows)


@contextmanager
def open_output(path: Path) -> Iterator[TextIO]:
    """A text file with \\n line ends, compressed where the name ends in .gz."""
    with path.open("wb") as binary:
        if path.suffix != ".gz":
            with io.TextIOWrapper(binary, encoding="utf-8", newline="") as file:
                yield file
            return
        # neither time nor name in the header: the same rows, the same bytes
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=binary, mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="") as file,
        ):
            yield file


def parse_interval(text: str) -> int:
    """Microseconds of `30s`, `5m`, `1h`."""
    units = {"s": SECOND, "m": MINUTE, "h": HOUR}
    try:
        interval = int(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"{text!r} is not an interval such as 5m or 1h") from None
    if interval <= 0:
        raise argparse.ArgumentTypeError("an interval is longer than nothing")
    return interval


def parse_end(text: str) -> datetime:
    """An ISO 8601 time; UTC unless it names a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="file to write (.csv, .csv.gz)")
    parser.add_argument("--stores", type=int, default=300)
    parser.add_argument("--days", type=float, default=8.0)
    parser.add_argument("--interval", type=parse_interval, default=HOUR, help="such as 5m, 1h")
    parser.add_argument("--seed", type=int, default=2023)
    parser.add_argument(
        "--end", type=parse_end, default="2023-01-25T18:13:00", help="polls lie before it"
    )
    parser.add_argument(
        "--rekey", type=Path, metavar="EXCERPT", help="re-key these real polls instead"
    )
    given = parser.parse_args()
    if given.rekey:
        count = rekey(given.rekey, given.output)
    else:
        count = generate(
            given.output,
            stores=given.stores,
            days=given.days,
            interval=given.interval,
            seed=given.seed,
            end=given.end,
        )
    sys.stderr.write(f"{given.output}: {count:,} rows\n")


if __name__ == "__main__":
    main()
