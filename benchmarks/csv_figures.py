"""Reads reports with seven columns from CSV, and compares two of them store by store."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from benchmarks.errors import BenchmarkError
from stream_app.domain.report import CSV_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

StoreFigures = dict[str, tuple[float, ...]]
"""The six figures of each store id."""


def read_figures(text: str) -> StoreFigures:
    """Read the CSV of a report.

    Raises:
        BenchmarkError: the text has other columns, no rows, or two rows of one store.
    """
    reader = csv.reader(io.StringIO(text))
    header = tuple(next(reader, ()))
    if header != CSV_HEADER:
        raise BenchmarkError(f"the columns are {', '.join(header)}")
    figures: StoreFigures = {}
    for store_id, *values in reader:
        if store_id in figures:
            raise BenchmarkError(f"store {store_id} has two rows")
        figures[store_id] = tuple(map(float, values))
    if not figures:
        raise BenchmarkError("the report has no rows")
    return figures


def require_equal(
    figures: Mapping[str, tuple[float, ...]], expected: Mapping[str, tuple[float, ...]]
) -> int:
    """Compare the figures of all stores; a store that is in one report only counts as different.

    Returns:
        The number of compared stores.

    Raises:
        BenchmarkError: some stores differ; the message names one of them.
    """
    stores = sorted(figures.keys() | expected.keys())
    wrong = [store for store in stores if figures.get(store) != expected.get(store)]
    if wrong:
        example = wrong[0]
        raise BenchmarkError(
            f"{len(wrong)} of {len(stores)} stores differ, such as {example}: "
            f"{figures.get(example)}, not {expected.get(example)}"
        )
    return len(stores)
