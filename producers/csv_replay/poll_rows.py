"""Poll rows: one exact parser for any row, and a fast one for whole chunks that agrees with it.

The fast one accepts only what it knows to be good in the forms that files have; any other row
goes through the exact one, which accepts it or says why not. So both give the same result.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from producers.csv_replay.line_file import MAX_LINE_BYTES
from producers.csv_replay.table import Columns, Refused, pick_values
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
from stream_app.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producers.csv_replay.line_file import Chunk
    from producers.csv_replay.open_file import Table

SCHEMA: Final = pl.Schema({"store": pl.UInt32, "instant": pl.Int64, "active": pl.Boolean})
"""A poll in 13 bytes: the number of its store, µs since the epoch, the status."""

# what the arithmetic below reads alike; other notations of ISO 8601 take the exact parser
_PLAIN_TIME: Final = (
    r"^(?:19[7-9][0-9]|20[0-9]{2})-[0-9]{2}-[0-9]{2}[ T]"
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?: UTC|Z|\+00:00)?$"
)
# fields without quotes, or quoted as a whole: there the quotes can simply go
_PLAIN_QUOTES: Final = r'^(?:[^",\r]*|"[^",\r]*")(?:,(?:[^",\r]*|"[^",\r]*"))*$'


class StoreNumbers:
    """Small numbers for the stores of one run, so that millions of polls stay small.

    Attributes:
        ids: the canonical id of each number.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._of_id: dict[str, int] = {}
        self._of_text = pl.DataFrame(schema={"text": pl.String, "number": pl.UInt32})

    def number(self, text: str) -> int:
        """The number of the store that a text names.

        Raises:
            RecordError: not a UUID.
        """
        store_id = parse_uuid(text)
        number = self._of_id.setdefault(store_id, len(self.ids))
        if number == len(self.ids):
            self.ids.append(store_id)
        return number

    def numbers(self, texts: pl.Series) -> pl.Series:
        """The number of each text, null where it is no UUID; each different text is read once."""
        numbers = self._look_up(texts)
        unknown = texts.filter(numbers.is_null()).unique().drop_nulls()
        found: dict[str, int] = {}
        for text in unknown.to_list():
            with suppress(RecordError):
                found[text] = self.number(text)
        if not found:
            return numbers
        more = {"text": list(found), "number": list(found.values())}
        self._of_text = self._of_text.vstack(pl.DataFrame(more, schema=self._of_text.schema))
        return self._look_up(texts)

    def _look_up(self, texts: pl.Series) -> pl.Series:
        frame = texts.to_frame("text")
        return frame.join(self._of_text, on="text", how="left", maintain_order="left")["number"]


@dataclass(frozen=True, slots=True)
class PollChunk:
    """The rows of one chunk: accepted ones as a frame of SCHEMA, the others with a reason."""

    accepted: pl.DataFrame
    refused: list[Refused]


def parse_poll_line(
    line: bytes, columns: Columns, stores: StoreNumbers, latest: int, earliest: int = 0
) -> tuple[int, int, bool] | None:
    """Read one row exactly.

    Args:
        line: the bytes of the row, with its line end or not.
        columns: of the file.
        stores: numbers of the stores so far.
        latest: µs; a poll dated later is refused.
        earliest: µs; a poll dated earlier is refused.

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
    """All rows of a poll file, chunk by chunk.

    Args:
        table: an open file.
        stores: numbers of the stores; new ones are added.
        latest: gives the latest instant (µs) that a poll may have; asked once a chunk.
        earliest: the earliest one.

    Raises:
        StoreUptimeError: the file cannot be read to its end.
    """
    for chunk in table.chunks():
        yield parse_poll_chunk(chunk, table, stores, latest(), earliest)


def parse_poll_chunk(
    chunk: Chunk, table: Table, stores: StoreNumbers, latest: int, earliest: int = 0
) -> PollChunk:
    """Read the rows of a chunk: the same result as `parse_poll_line` on each, but fast."""
    if table.columns is None:
        return PollChunk(pl.DataFrame(schema=SCHEMA), [])
    rows = _parse_plain_rows(chunk.data, table.columns, stores, min(latest, LATEST - 1), earliest)
    plain = rows.filter("plain").select(SCHEMA.names())
    if plain.height == rows.height:
        return PollChunk(plain, [])
    lines = chunk.data.split(b"\n")
    others: list[tuple[int, int, bool]] = []
    refused: list[Refused] = []
    for index in rows.filter(~pl.col("plain"))["index"].to_list():
        try:
            poll = parse_poll_line(lines[index], table.columns, stores, latest, earliest)
        except RecordError as error:
            refused.append(table.refuse(chunk.first_line + index, str(error), lines[index]))
            continue
        if poll is not None:
            others.append(poll)
    if others:
        plain = plain.vstack(pl.DataFrame(others, schema=SCHEMA, orient="row"))
    return PollChunk(plain, refused)


def _parse_plain_rows(
    data: bytes, columns: Columns, stores: StoreNumbers, latest: int, earliest: int
) -> pl.DataFrame:
    """A row for each line that is not empty: SCHEMA, its `index`, `plain`: True where they hold."""
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
        # megabytes of empty lines take no other step
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
        # of one column more than there should be, the last but one is there and the last not
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
            & pl.col("instant").is_between(earliest, latest)
        ).fill_null(value=False)
    )


def _plain_status(status: pl.Expr) -> pl.Expr:
    return pl.when(status == "active").then(True).when(status == "inactive").then(False)


def _plain_instant(time: pl.Expr) -> pl.Expr:
    """µs of a time written as files write it, null for any other."""
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
