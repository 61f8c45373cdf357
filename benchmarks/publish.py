"""Writes the stored results into docs/performance.md, between its markers.

    python -m benchmarks.publish

A section is the text between `<!-- bench NAME -->` and `<!-- /bench -->`. NAME is the name of a
line, or another name in `sections`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from benchmarks import comparison
from benchmarks.distances import distances_section
from benchmarks.errors import BenchmarkError, NotRunError
from benchmarks.inputs import ROOT
from benchmarks.plots import write_plots
from benchmarks.registry import LINES
from benchmarks.results import FOLDER, read_result
from benchmarks.sizing import measured_costs, sizing_table
from benchmarks.tables import markdown_table, number, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.line import Line

DOCUMENT: Final = ROOT / "docs" / "performance.md"
_SECTION: Final = re.compile(r"(<!-- bench (\S+) -->\n).*?(<!-- /bench -->)", re.DOTALL)
_MISSING: Final = "Not measured yet.\n"
_LINE_HEADER: Final = ("figure", "unit", "minimum", "median", "maximum", "target", "")
_TARGET_HEADER: Final = ("work", *_LINE_HEADER)


def line_section(line: Line, folder: Path) -> str:
    """Return a table of all figures of a line, with its notes."""
    result = read_result(line.name, folder)
    if result is None:
        return _MISSING
    notes = [*result.notes, *([f"not measured: {result.problem}"] if result.problem else [])]
    table = markdown_table(
        _LINE_HEADER, (row[1:] for row in rows(line, result) if row[1] not in notes and row[2:])
    )
    runs = (
        f"{len(result.runs)} run{'s' if len(result.runs) != 1 else ''}, {result.measured[:10]}.\n"
    )
    return f"{table}\n{runs}" + "".join(f"\n- {note}" for note in notes) + ("\n" if notes else "")


def targets_section(folder: Path) -> str:
    """Return a table of the figures of all lines that have a target."""
    targets: list[tuple[str, ...]] = []
    for line in LINES:
        result = read_result(line.name, folder)
        for figure in line.figures if result else ():
            spread = result.spread(figure.name) if result else None
            if not figure.target or spread is None:
                continue
            met = "met" if figure.met(spread.median) else "**missed**"
            spread_shown = (
                number(value) for value in (spread.minimum, spread.median, spread.maximum)
            )
            title = figure.title.removeprefix("- ")
            targets.append((line.title, title, figure.unit, *spread_shown, figure.target, met))
    return markdown_table(_TARGET_HEADER, targets) if targets else _MISSING


def machine_section(folder: Path) -> str:
    """Describe the machine of the newest result as text."""
    results = [result for line in LINES if (result := read_result(line.name, folder))]
    if not results:
        return _MISSING
    newest = max(results, key=lambda result: result.measured)
    return "".join(f"- {name}: {value}\n" for name, value in newest.machine.items())


def sizing_section(folder: Path) -> str:
    """Return the sizing table, or a remark if its costs are not measured yet."""
    try:
        return sizing_table(measured_costs(folder))
    except NotRunError:
        return _MISSING


def sections(folder: Path) -> dict[str, Callable[[], str]]:
    """Return the functions that make the sections, by the names in the markers."""
    made: dict[str, Callable[[], str]] = {
        line.name: lambda line=line: line_section(line, folder)  # type: ignore[misc]
        for line in LINES
    }
    return made | {
        "machine": lambda: machine_section(folder),
        "targets": lambda: targets_section(folder),
        "sizing": lambda: sizing_section(folder),
        "distances": lambda: distances_section(folder),
        "ratios": lambda: comparison.ratios_section(folder),
    }


def fill(text: str, known: dict[str, Callable[[], str]]) -> str:
    """Return the text with new content in all its sections.

    Raises:
        BenchmarkError: a marker has an unknown name.
    """

    def section(match: re.Match[str]) -> str:
        if match[2] not in known:
            raise BenchmarkError(
                f"<!-- bench {match[2]} -->: no such section; there are {', '.join(known)}"
            )
        return f"{match[1]}{known[match[2]]()}{match[3]}"

    return _SECTION.sub(section, text)


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=FOLDER)
@click.option("--document", type=click.Path(path_type=Path), default=DOCUMENT)
def main(results: Path, document: Path) -> None:
    """Make the tables of docs/performance.md, and the plots, from the stored results."""
    try:
        text = document.read_text(encoding="utf-8")
        document.write_text(fill(text, sections(results)), encoding="utf-8")
        drawn = write_plots(results)
    except (BenchmarkError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{document.name} is up to date, {len(drawn)} plot(s) drawn")


if __name__ == "__main__":
    main()
