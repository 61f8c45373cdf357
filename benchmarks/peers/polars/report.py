"""The seven columns of all stores from three CSV files: STATUS HOURS ZONES OUT.csv. See README.md.

Every time is in µs; a "cell" is a minute counted back from the reference time, 1 to 10080.
"""

from __future__ import annotations

import sys
from functools import reduce
from typing import Final

import polars as pl

MINUTE: Final = 60_000_000
QUARTER: Final = 15 * MINUTE
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
LOOKBACK: Final = HOUR
DEFAULT_ZONE: Final = "America/Chicago"
FORMAT: Final = "%Y-%m-%d %H:%M:%S%.f UTC"
WINDOWS: Final = {"hour": 60, "day": 1_440, "week": 10_080}
CELLS: Final = WINDOWS["week"]


def cells_since(instant: pl.Expr, reference: int) -> pl.Expr:
    """Return the number of cells that begin at this time or later."""
    return ((reference - instant).clip(0) // MINUTE).clip(0, CELLS)


def day_micros(column: str) -> pl.Expr:
    """Return a local time of day in µs since midnight."""
    text = pl.col(column).str.strip_chars()
    parts = text.str.split(":")
    seconds = parts.list.get(2, null_on_oob=True).fill_null("0").cast(pl.Float64)
    return (
        parts.list.get(0).cast(pl.Int64) * HOUR
        + parts.list.get(1).cast(pl.Int64) * MINUTE
        + (seconds * 1_000_000).round().cast(pl.Int64)
    )


def offset_segments(zone: str, start: int, end: int) -> pl.DataFrame:
    """Return the ranges of time in which local clocks show UTC + `utc_offset`."""
    instants = pl.int_range(start // QUARTER * QUARTER, end + 1, QUARTER, eager=True)
    local = pl.from_epoch(instants, "us").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    offset = (local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_microseconds()
    frame = pl.DataFrame({"since": instants, "utc_offset": offset})
    changed = pl.col("utc_offset").ne_missing(pl.col("utc_offset").shift())
    return frame.filter(changed).select(
        pl.lit(zone).alias("zone"),
        "since",
        pl.col("since").shift(-1, fill_value=end).alias("until"),
        "utc_offset",
    )


def all_segments(zones: list[str], start: int, end: int) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the segments of all zones, and the zone that is used for each name."""
    segments: dict[str, pl.DataFrame] = {DEFAULT_ZONE: offset_segments(DEFAULT_ZONE, start, end)}
    zone_of_name: dict[str, str] = {}
    for zone in zones:
        try:
            segments[zone] = offset_segments(zone, start, end)
            zone_of_name[zone] = zone
        except pl.exceptions.ComputeError:  # no zone has this name
            zone_of_name[zone] = DEFAULT_ZONE
    return pl.concat(segments.values()), zone_of_name


def open_intervals(
    stores: pl.DataFrame, hours: pl.DataFrame, segments: pl.DataFrame, reference: int
) -> pl.DataFrame:
    """Return the business hours of each store as cells (low, high], disjoint."""
    readings = hours.select(
        "store_id",
        pl.col("weekday").cast(pl.Int64),
        day_micros("opens").alias("opens"),
        day_micros("closes").replace(DAY - 1, DAY).alias("closes"),
    )
    over_midnight = readings.filter(pl.col("opens") > pl.col("closes"))
    local = pl.concat(
        [
            readings.filter(pl.col("opens") < pl.col("closes")),
            over_midnight.with_columns(closes=pl.lit(DAY, pl.Int64)),
            over_midnight.with_columns(
                weekday=(pl.col("weekday") + 1) % 7, opens=pl.lit(0, pl.Int64)
            ),
        ]
    )
    days = pl.int_range((reference - WEEK) // DAY - 1, reference // DAY + 2, eager=True)
    # 1970-01-01 was a Thursday
    local_days = pl.DataFrame({"midnight": days * DAY, "weekday": (days + 3) % 7})
    since = pl.col("midnight") + pl.col("opens") - pl.col("utc_offset")
    until = pl.col("midnight") + pl.col("closes") - pl.col("utc_offset")
    opened = (
        local.join(stores, on="store_id")
        .join(local_days, on="weekday")
        .join(segments, on="zone")
        .filter(since < pl.col("until"), until > pl.col("since"))
        .select(
            "store",
            cells_since(pl.min_horizontal(until, "until"), reference).alias("low"),
            cells_since(pl.max_horizontal(since, "since"), reference).alias("high"),
        )
        .filter(pl.col("low") < pl.col("high"))
        .sort("store", "low", "high")
    )
    reach = pl.col("high").cum_max().shift().over("store")
    island = (reach.is_null() | (pl.col("low") > reach)).cum_sum()
    merged = opened.group_by("store", island.alias("island")).agg(
        pl.col("low").min(), pl.col("high").max()
    )
    always = stores.join(hours, on="store_id", how="anti").select(
        "store", pl.lit(0, pl.Int64).alias("low"), pl.lit(CELLS, pl.Int64).alias("high")
    )
    return pl.concat([merged.select("store", "low", "high"), always])


def active_intervals(polls: pl.DataFrame, reference: int) -> pl.DataFrame:
    """Return the cells (low, high] of each store in which the newest poll is active."""
    # of two polls at the same time the inactive one comes last, and counts
    ordered = polls.sort("store", "instant", "active", descending=[False, False, True])
    first = pl.col("store").ne_missing(pl.col("store").shift())
    changes = ordered.filter(first | (pl.col("active") != pl.col("active").shift()))
    last = pl.col("store").ne_missing(pl.col("store").shift(-1))
    until = pl.when(last).then(reference).otherwise(pl.col("instant").shift(-1))
    return (
        changes.with_columns(
            low=cells_since(until, reference), high=cells_since(pl.col("instant"), reference)
        )
        .filter("active", pl.col("low") < pl.col("high"))
        .select("store", "low", "high")
    )


def counted(low: pl.Expr, high: pl.Expr, prefix: str) -> list[pl.Expr]:
    """Return the number of cells of intervals (low, high] in each window."""
    return [
        (high.clip(0, cells) - low).clip(0).sum().alias(f"{prefix}_{window}")
        for window, cells in WINDOWS.items()
    ]


def report(status: str, hours: str, zones: str) -> pl.DataFrame:
    """Return the report of all stores, at the time of the newest poll."""
    polls = (
        pl.scan_csv(status)
        .select(
            # a category is a number, so that no text is sorted or joined
            pl.col("store_id").cast(pl.Categorical),
            pl.col("status").str.strip_chars().str.to_lowercase().eq("active").alias("active"),
            pl.col("timestamp_utc").str.to_datetime(FORMAT, time_unit="us").alias("instant"),
        )
        .with_columns(pl.col("instant").cast(pl.Int64))
        .collect()
    )
    reference = int(polls.select(pl.col("instant").max()).item())
    weekly = pl.read_csv(
        hours,
        new_columns=["store_id", "weekday", "opens", "closes"],
        schema_overrides=[pl.String, pl.Int64, pl.String, pl.String],
    ).with_columns(pl.col("store_id").cast(pl.Categorical))
    zoned = pl.read_csv(zones, infer_schema=False).with_columns(
        pl.col("store_id").cast(pl.Categorical)
    )
    segments, zone_of_name = all_segments(
        zoned["timezone_str"].drop_nulls().unique().to_list(), reference - WEEK, reference
    )
    names = pl.concat([frame["store_id"].unique() for frame in (polls, weekly, zoned)]).unique()
    stores = (
        pl.DataFrame({"store_id": names})
        .join(zoned, on="store_id", how="left")
        .select(
            "store_id",
            pl.col("store_id").to_physical().alias("store"),
            pl.col("timezone_str")
            .replace_strict(zone_of_name, default=DEFAULT_ZONE)
            .fill_null(DEFAULT_ZONE)
            .alias("zone"),
        )
    )
    opened = open_intervals(stores, weekly, segments, reference)
    active = active_intervals(
        polls.filter(pl.col("instant") >= reference - WEEK - LOOKBACK).select(
            pl.col("store_id").to_physical().alias("store"), "instant", "active"
        ),
        reference,
    )
    low = pl.max_horizontal("low", "low_active")
    high = pl.min_horizontal("high", "high_active")
    up = (
        opened.join(active, on="store", suffix="_active")
        .filter(low < high)
        .group_by("store")
        .agg(counted(low, high, "up"))
    )
    open_cells = opened.group_by("store").agg(counted(pl.col("low"), pl.col("high"), "open"))
    joined = reduce(
        lambda one, other: one.join(other, on="store", how="left"), (open_cells, up), stores
    ).with_columns(pl.col(r"^(open|up)_.*$").fill_null(0))
    down = {window: pl.col(f"open_{window}") - pl.col(f"up_{window}") for window in WINDOWS}
    return joined.select(
        pl.col("store_id").cast(pl.String),
        pl.col("up_hour").alias("uptime_last_hour"),
        (pl.col("up_day") / 60).round(2).alias("uptime_last_day"),
        (pl.col("up_week") / 60).round(2).alias("uptime_last_week"),
        down["hour"].alias("downtime_last_hour"),
        (down["day"] / 60).round(2).alias("downtime_last_day"),
        (down["week"] / 60).round(2).alias("downtime_last_week"),
    )


def main() -> None:
    """Read, compute, write."""
    *inputs, output = sys.argv[1:]
    report(*inputs).sort("store_id").write_csv(output)


if __name__ == "__main__":
    main()
