"""Parses rows of polls: exactly, row by row, and fast, by whole chunks, with the same result.

There are three parsers. The first reads a chunk with polars' reader of CSV files, if all rows of it
have the form that programs write. Any other chunk goes to the second, which splits lines into
columns and accepts more notations. Rows that this one does not accept go to the exact parser, which
accepts them or raises the reason. So all give the same result.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from producers.csv_replay.line_file import MAX_LINE_BYTES
from producers.csv_replay.table import Columns, RejectedRow, pick_values
from stream_app.contracts.fields import parse_status, parse_uuid
from stream_app.contracts.polls import before_earliest
from stream_app.domain.timestamps import (
    DAY,
    HOUR,
    LATEST,
    MINUTE,
    SECOND,
    format_instant,
    parse_instant,
)
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from producers.csv_replay.line_file import Chunk
    from producers.csv_replay.open_file import Table

SCHEMA: Final = pl.Schema({"store": pl.UInt32, "instant": pl.Int64, "active": pl.Boolean})
"""Columns of a frame of polls (13 bytes each): store number, µs since the epoch, status."""

PARSERS: Final = 2
"""Chunks of a file that are parsed at the same time: polars parses each in one thread."""

# the notations that the arithmetic below reads; others of ISO 8601 go through the exact parser
_PLAIN_TIME: Final = (
    r"^(?:19[7-9][0-9]|20[0-9]{2})-[0-9]{2}-[0-9]{2}[ T]"
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?: UTC|Z|\+00:00)?$"
)
# what most programs write, which polars parses in a third of the time of other times
_USUAL_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} UTC$"
_USUAL_FORMAT: Final = "%Y-%m-%d %H:%M:%S.%6f UTC"

# fields without quotes, or quoted as a whole: from these the quotes can be removed
_PLAIN_QUOTES: Final = r'^(?:[^",\r]*|"[^",\r]*")(?:,(?:[^",\r]*|"[^",\r]*"))*$'


class StoreNumbers:
    """Numbers for the stores of a replay, so that a poll takes few bytes; for several threads.

    Attributes:
        ids: the canonical id of each number.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._lock = threading.RLock()
        self._of_id: dict[str, int] = {}
        self._of_text = pl.DataFrame(schema={"text": pl.String, "number": pl.UInt32})

    def number(self, text: str) -> int:
        """Return the number of the store whose id is a text.

        Raises:
            RecordError: not a UUID.
        """
        store_id = parse_uuid(text)
        with self._lock:
            number = self._of_id.setdefault(store_id, len(self.ids))
            if number == len(self.ids):
                self.ids.append(store_id)
        return number

    def numbers(self, texts: pl.Series) -> pl.Series:
        """Return the number of each text, null if it is no UUID; equal texts are parsed once."""
        numbers = self._look_up(texts)
        if not numbers.has_nulls():
            return numbers
        with self._lock:
            # another thread may have added them meanwhile
            numbers = self._look_up(texts)
            unknown = texts.filter(numbers.is_null()).unique().drop_nulls()
            new: dict[str, int] = {}
            for text in unknown.to_list():
                with suppress(RecordError):
                    new[text] = self.number(text)
            if not new:
                return numbers
            more = {"text": list(new), "number": list(new.values())}
            self._of_text = self._of_text.vstack(pl.DataFrame(more, schema=self._of_text.schema))
            return self._look_up(texts)

    def _look_up(self, texts: pl.Series) -> pl.Series:
        frame = texts.to_frame("text")
        return frame.join(self._of_text, on="text", how="left", maintain_order="left")["number"]


@dataclass(frozen=True, slots=True)
class PollChunk:
    """The accepted rows of one chunk as a frame of SCHEMA, and the rejected ones."""

    accepted: pl.DataFrame
    rejected: list[RejectedRow]


def parse_poll_line(
    line: bytes, columns: Columns, stores: StoreNumbers, latest: int, earliest: int = 0
) -> tuple[int, int, bool] | None:
    """Parse one row exactly.

    Args:
        line: the bytes of the row, with or without its line end.
        columns: the positions of the columns.
        stores: numbers of the stores; a new one is added.
        latest: µs; a poll dated later is rejected.
        earliest: µs; a poll dated earlier is rejected.

    Returns:
        `(store number, instant in µs, active)`; None for a blank line.

    Raises:
        RecordError: the row cannot be accepted.
    """
    values = pick_values(line, columns)
    if values is None:
        return None
    store_text, status, time = values
    store = stores.number(store_text)
    active = parse_status(status)
    instant = parse_instant(time)
    too_early = before_earliest(instant, earliest)
    if too_early is not None:
        raise RecordError(too_early)
    if instant > latest:
        raise RecordError(f"in the future: {format_instant(instant)}")
    return store, instant, active


def read_polls(
    table: Table, stores: StoreNumbers, latest: Callable[[], int], earliest: int = 0
) -> Iterator[PollChunk]:
    """Yield the rows of a file of polls, chunk by chunk.

    Args:
        table: an open file.
        stores: numbers of the stores; new ones are added.
        latest: returns the latest instant (µs) of an accepted poll; called once a chunk.
        earliest: µs; the earliest instant of an accepted poll.

    Raises:
        StoreUptimeError: the file cannot be read to its end.
    """
    parsing: deque[Future[PollChunk]] = deque()
    with ThreadPoolExecutor(PARSERS) as pool:
        try:
            for chunk in table.chunks():
                parsing.append(
                    pool.submit(parse_poll_chunk, chunk, table, stores, latest(), earliest)
                )
                # the table has the joined rows of its last chunk only, and a pipe may stay silent
                alone = b'"' in chunk.data or table.file.may_wait()
                while len(parsing) > (0 if alone else PARSERS):
                    yield parsing.popleft().result()
        except StoreUptimeError:
            yield from (job.result() for job in parsing)
            raise
        yield from (job.result() for job in parsing)


def parse_poll_chunk(
    chunk: Chunk, table: Table, stores: StoreNumbers, latest: int, earliest: int = 0
) -> PollChunk:
    """Parse the rows of a chunk: the same result as `parse_poll_line` for each row, but fast."""
    if table.columns is None:
        return PollChunk(pl.DataFrame(schema=SCHEMA), [])
    bounds = earliest, min(latest, LATEST - 1)
    usual = _parse_usual_rows(chunk.data, table.columns, stores, bounds)
    if usual is not None:
        return PollChunk(usual, [])
    rows = _parse_plain_rows(chunk.data, table.columns, stores, bounds)
    plain = rows.filter("plain").select(SCHEMA.names())
    if plain.height == rows.height:
        return PollChunk(plain, [])
    lines = chunk.data.split(b"\n")
    others: list[tuple[int, int, bool]] = []
    rejected: list[RejectedRow] = []
    for index in rows.filter(~pl.col("plain"))["index"].to_list():
        try:
            poll = parse_poll_line(lines[index], table.columns, stores, latest, earliest)
        except RecordError as error:
            rejected.append(table.rejected_row(chunk.first_line + index, str(error), lines[index]))
            continue
        if poll is not None:
            others.append(poll)
    if others:
        plain = plain.vstack(pl.DataFrame(others, schema=SCHEMA, orient="row"))
    return PollChunk(plain, rejected)


def _parse_usual_rows(
    data: bytes, columns: Columns, stores: StoreNumbers, bounds: tuple[int, int]
) -> pl.DataFrame | None:
    """Read a chunk whose lines are all valid rows of the usual form; return None for any other."""
    if b'"' in data or not data.isascii():
        return None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    names = [str(position) for position in range(columns.count)]
    try:
        rows = pl.read_csv(
            data, has_header=False, schema=dict.fromkeys(names, pl.String), quote_char=None
        )
    except pl.exceptions.PolarsError:
        return None
    # An empty or a missing field is null. Without any, the bytes of all fields and separators must
    # add up to the bytes of the chunk: else polars has skipped a blank line or a line end.
    if rows.null_count().sum_horizontal().item():
        return None
    lengths = rows.select(pl.all().str.len_bytes())
    separators = rows.height * columns.count - (not data.endswith(b"\n"))
    if lengths.sum().sum_horizontal().item() + separators != len(data) or (
        lengths.max().sum_horizontal().item() + columns.count > MAX_LINE_BYTES
    ):
        return None
    store, status, time = (rows[names[position]] for position in columns.positions)
    active = _usual_status(status)
    instant = _usual_instant(time)
    if active is None or instant.has_nulls() or not instant.is_between(*bounds).all():
        return None
    number = stores.numbers(store)
    if number.has_nulls():
        return None
    return pl.DataFrame([number.alias("store"), instant.alias("instant"), active.alias("active")])


def _usual_status(status: pl.Series) -> pl.Series | None:
    """Return True for active; None if there is another status than the two."""
    active = status == "active"
    if (active | (status == "inactive")).all():
        return active
    lower = status.str.to_lowercase()
    return lower == "active" if lower.is_in(["active", "inactive"]).all() else None


def _usual_instant(time: pl.Series) -> pl.Series:
    """Return the µs of a time in one of the usual notations, null for any other."""
    instant = time.str.to_datetime(_USUAL_FORMAT, time_unit="us", strict=False).cast(pl.Int64)
    # polars also accepts spaces and missing digits
    usual = time.str.contains(_USUAL_TIME)
    if usual.all():
        return instant
    others = ~usual
    parsed = time.filter(others).to_frame("time").select(_plain_instant(pl.col("time")))
    return instant.scatter(others.arg_true(), parsed.to_series())


def _parse_plain_rows(
    data: bytes, columns: Columns, stores: StoreNumbers, bounds: tuple[int, int]
) -> pl.DataFrame:
    """Return a row for each nonempty line: SCHEMA, its `index`, and `plain` if all are valid."""
    try:
        text, whole = data.decode(), True
    except UnicodeDecodeError:
        text, whole = data.decode(errors="replace"), False
    if "\r" in text:
        text = text.replace("\r\n", "\n").removesuffix("\r")
    line = pl.col("line")
    lines = (
        pl.Series([text.removesuffix("\n")])
        .str.split("\n")
        .explode()
        .to_frame("line")
        .with_row_index("index")
        # megabytes of empty lines end here
        .filter(line != "")
    )
    plain = line.str.len_bytes() <= MAX_LINE_BYTES
    if not whole:
        plain &= ~line.str.contains("\ufffd", literal=True)
    if '"' in text:
        lines = lines.with_columns(quotes_plain=line.str.contains(_PLAIN_QUOTES))
        plain &= pl.col("quotes_plain")
        line = (
            pl.when("quotes_plain")
            .then(line.str.replace_all('"', "", literal=True))
            .otherwise(line)
        )
    part = pl.col("parts").struct
    store, status, time = columns.positions
    fields = lines.with_columns(parts=line.str.split_exact(",", columns.count)).select(
        "index",
        # split into one column more than the header has: the last of them must be missing
        plain=plain
        & part.field(f"field_{columns.count - 1}").is_not_null()
        & part.field(f"field_{columns.count}").is_null(),
        store_text=part.field(f"field_{store}"),
        status=part.field(f"field_{status}"),
        time=part.field(f"field_{time}"),
    )
    return fields.select(
        "index",
        "plain",
        store=stores.numbers(fields["store_text"]),
        instant=_plain_instant(pl.col("time")),
        active=_plain_status(pl.col("status").str.to_lowercase()),
    ).with_columns(
        plain=(
            pl.col("plain")
            & pl.col("store").is_not_null()
            & pl.col("active").is_not_null()
            & pl.col("instant").is_between(*bounds)
        ).fill_null(value=False)
    )


def _plain_status(status: pl.Expr) -> pl.Expr:
    return pl.when(status == "active").then(True).when(status == "inactive").then(False)


def _plain_instant(time: pl.Expr) -> pl.Expr:
    """Return µs of a time in one of the usual notations, null for any other."""
    # sums of slices: five times as fast as a date format with a fraction
    fraction = (
        time.str.strip_suffix("+00:00")
        .str.slice(20)
        .str.strip_chars_end("UTCZ ")
        .str.pad_end(6, "0")
    )
    instant = (
        time.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64) * DAY
        + _whole(time.str.slice(11, 2)) * HOUR
        + _whole(time.str.slice(14, 2)) * MINUTE
        + _whole(time.str.slice(17, 2)) * SECOND
        + _whole(fraction)
    )
    return pl.when(time.str.contains(_PLAIN_TIME)).then(instant)


def _whole(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Int64, strict=False)
