"""Runs report.sql with the arguments STATUS HOURS ZONES OUT.csv."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

NAMES = ("status_file", "hours_file", "zones_file", "output_file")


def main() -> None:
    """Run the script on one connection, as `duckdb -f report.sql` does."""
    with duckdb.connect() as connection:
        for name, value in zip(NAMES, sys.argv[1:], strict=True):
            connection.execute(f"SET VARIABLE {name} = ?", [value])
        connection.execute("SET VARIABLE default_zone = 'America/Chicago'")
        connection.execute("SET VARIABLE lookback = 3600000000")
        connection.execute((Path(__file__).parent / "report.sql").read_text(encoding="utf-8"))


main()
