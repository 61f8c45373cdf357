"""The documentation's page on metrics lists every metric as the registries have it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.metrics import ApiMetrics, ApiSources
from stream_app.worker.metrics import Unacknowledged, WorkerMetrics, WorkerSources

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "metrics.md"


def worker_registry() -> CollectorRegistry:
    metrics = WorkerMetrics()
    metrics.read_from(WorkerSources(dict, lambda: 0, lambda: Unacknowledged(0, 0), dict))
    return metrics.registry


def api_registry() -> CollectorRegistry:
    metrics = ApiMetrics()
    metrics.read_open_streams(lambda: 0)
    metrics.read_from(ApiSources(lambda: True, *[lambda: 0] * 6))
    return metrics.registry


REGISTRIES = {"worker": worker_registry, "api": api_registry}


def rows(process: str) -> list[str]:
    """Return the rows that belong between the comments of the page."""
    row_of = {}
    for collector in REGISTRIES[process]()._collector_to_names:
        for metric in collector.collect():
            if not metric.name.startswith("store_uptime_"):
                continue
            labels: Any = getattr(metric, "_labelnames", getattr(collector, "_labelnames", ()))
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            shown = ", ".join(f"`{label}`" for label in labels) or "-"
            row_of[name] = f"| `{name}` | {metric.type} | {shown} | {metric.documentation} |"
    return [row_of[name] for name in sorted(row_of)]


@pytest.mark.parametrize("process", REGISTRIES)
def test_the_page_lists_every_metric(process: str) -> None:
    """`python -m tests.unit.test_metrics_page` writes the tables into the page."""
    match = re.search(
        f"<!-- {process} metrics -->\n(.*?)<!-- /{process} metrics -->",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert match is not None
    listed = [row for row in match[1].splitlines() if row.startswith("| `")]
    assert listed == rows(process)


@pytest.mark.parametrize("process", REGISTRIES)
def test_no_label_can_hold_a_store(process: str) -> None:
    text = "\n".join(rows(process))
    assert "`store" not in text.replace("`store_uptime_", "")


def test_every_metric_in_an_alarm_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    alarms = page.partition("## What is worth an alarm")[2].partition("## A worker's metrics")[0]
    named = {name.removesuffix("_bucket") for name in re.findall(r"store_uptime_[a-z_]+", alarms)}
    assert len(named) > 5
    listed = {row.split("`")[1] for process in REGISTRIES for row in rows(process)}
    assert named <= listed


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    for process in REGISTRIES:
        table = "\n".join(
            ["| metric | type | labels | meaning |", "|---|---|---|---|", *rows(process)]
        )
        begin, end = f"<!-- {process} metrics -->", f"<!-- /{process} metrics -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = f"{head}{begin}\n{table}\n{end}{tail}"
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"written: {PAGE}\n")
