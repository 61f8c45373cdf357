"""The rows of a report as a Parquet file."""

from __future__ import annotations

import asyncio
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.report_validation import (
    COLUMN_TYPES,
    DATE_COLUMNS,
    INSTANT_COLUMNS,
    column_type,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.contracts.report_results import Row

PARQUET_FACTOR: Final = 3
"""Memory of writing Parquet as a multiple of the size of the rows in JSON; 2 was measured."""

_CHUNK_ROWS: Final = 5_000
"""Rows that are converted to columns before other requests are answered."""


async def parquet(fields: Sequence[str], rows: Iterable[Row]) -> bytes:
    """Return a Parquet file with typed columns: instants in UTC, dates, whole numbers, fractions.

    Args:
        fields: the names of a row's values.
        rows: read as they are needed.
    """
    import polars  # noqa: PLC0415  it is large: only a process that writes Parquet loads it

    schema: dict[str, Any] = {name: _type(polars, name) for name in fields}
    frame = polars.DataFrame(schema=schema).pipe(_typed)
    unknown = {index for index, name in enumerate(fields) if name not in COLUMN_TYPES}
    iterator = iter(_as_texts(rows, unknown) if unknown else rows)
    while chunk := list(islice(iterator, _CHUNK_ROWS)):
        part = polars.DataFrame(chunk, schema=schema, orient="row").pipe(_typed)
        frame.vstack(part, in_place=True)
        await asyncio.sleep(0)
    file = BytesIO()
    await asyncio.to_thread(frame.write_parquet, file)
    return file.getvalue()


def _as_texts(rows: Iterable[Row], indexes: set[int]) -> Iterator[Row]:
    """Yield the rows with texts in the columns of a later version, whose types are unknown here."""
    for row in rows:
        yield [
            str(value) if index in indexes and value is not None else value
            for index, value in enumerate(row)
        ]


def _type(polars: Any, name: str) -> Any:
    types = {str: polars.String, int: polars.Int64, float: polars.Float64}
    return types[column_type(name)]


def _typed(frame: Any) -> Any:
    import polars  # noqa: PLC0415  as above

    columns = set(frame.columns)
    return frame.with_columns(
        *(
            polars.col(name).str.to_datetime(time_unit="us", time_zone="UTC", strict=True)
            for name in INSTANT_COLUMNS & columns
        ),
        *(polars.col(name).str.to_date() for name in DATE_COLUMNS & columns),
    )
