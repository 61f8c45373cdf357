"""Counts polls that are older than the retention, seen from their store's newest poll."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

_SCHEMA: Final = pl.Schema({"store": pl.UInt32, "newest": pl.Int64, "old": pl.UInt32})


class OldPolls:
    """Counts the polls of each store that workers do not store, window by window.

    A poll that becomes too old because of a later window is not counted.

    Args:
        retention: µs; the setting RETENTION.
    """

    def __init__(self, retention: int) -> None:
        self._retention = retention
        self._stores = pl.DataFrame(schema=_SCHEMA)

    def add(self, polls: pl.DataFrame) -> None:
        """Count the too old polls in a result of `join_polls`."""
        if polls.is_empty():
            return
        runs = polls["store"].rle().struct.unnest()
        ends = runs["len"].cum_sum()
        in_window = pl.DataFrame(
            {
                "store": runs["value"],
                "newest": polls["poll"].gather(ends - 1) // 2,
                "oldest": polls["poll"].gather(ends - runs["len"]) // 2,
            }
        )
        known = (
            pl.concat([self._stores, in_window.select("store", "newest", old=pl.lit(0, pl.UInt32))])
            .group_by("store")
            .agg(pl.col("newest").max(), pl.col("old").sum())
        )
        kept_from = in_window.join(known, on="store", how="left", suffix="_known").select(
            "store", "oldest", kept_from=pl.col("newest_known") - self._retention
        )
        with_old = kept_from.filter(pl.col("oldest") < pl.col("kept_from"))
        if not with_old.is_empty():
            old = (
                polls.join(with_old, on="store")
                .filter(pl.col("poll") // 2 < pl.col("kept_from"))
                .group_by("store")
                .agg(more=pl.len())
            )
            known = known.join(old, on="store", how="left").with_columns(
                old=pl.col("old") + pl.col("more").fill_null(0).cast(pl.UInt32)
            )
        self._stores = known.select(_SCHEMA.names())

    def counts(self, store_ids: Sequence[str]) -> dict[str, int]:
        """Return the number of too old polls by store.

        Args:
            store_ids: the id of each store number.
        """
        with_old = self._stores.filter(pl.col("old") > 0).sort("store")
        return {store_ids[store]: old for store, _, old in with_old.iter_rows()}
