"""Shows results as a table, on a terminal and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.line import Figure, Line
    from benchmarks.results import Result

HEADER: Final = ("work", "figure", "unit", "minimum", "median", "maximum", "target", "")

Row = tuple[str, ...]


def number(value: float) -> str:
    """Return a number with three significant digits, or as an integer: 1,234; 12.3; 0.0123."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 3
    shown = f"{value:.{digits}g}"
    return f"{float(shown):,.0f}" if abs(float(shown)) >= 100 else shown


def rows(line: Line, result: Result) -> list[Row]:
    """Return a row for each figure; the first one has the title of the line."""
    lines = [row for figure in line.figures if (row := _row(figure, result))]
    lines += [(note, "", "", "", "", "", "") for note in result.notes]
    if result.problem:
        lines.append((f"not measured: {result.problem}", "", "", "", "", "", ""))
    return [(line.title if index == 0 else "", *row) for index, row in enumerate(lines)]


def _row(figure: Figure, result: Result) -> Row | None:
    spread = result.spread(figure.name)
    if spread is None:
        return None
    met = figure.met(spread.median)
    return (
        figure.title,
        figure.unit,
        *(number(value) for value in (spread.minimum, spread.median, spread.maximum)),
        figure.target,
        "" if met is None else "met" if met else "MISSED",
    )


def terminal_table(sections: Iterable[Sequence[Row]]) -> Table:
    """Return a table for a terminal, with a section for each line."""
    table = Table(*HEADER)
    for column in table.columns[3:6]:
        column.justify = "right"
    for section in sections:
        for row in section:
            table.add_row(*row)
        table.add_section()
    return table


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [_markdown_row(header), "|" + "---|" * len(header)]
    return "\n".join([*lines, *map(_markdown_row, rows)]) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
