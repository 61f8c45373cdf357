from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from benchmarks import comparison, registry, sizing
from benchmarks.__main__ import main
from benchmarks.errors import BenchmarkError, NotRunError
from benchmarks.publish import DOCUMENT, fill, line_section, sections, targets_section
from benchmarks.results import Result, write_result
from benchmarks.sizing import Costs, measured_costs, size
from stream_app.domain.timestamps import DAY, MINUTE, SECOND

if TYPE_CHECKING:
    from pathlib import Path

COSTS = Costs(
    worker_rate=10_000,
    api_rate=3_000,
    source_bytes=150,
    live_changelog_bytes=100,
    changelog_bytes=10,
    state_bytes=10,
)


def store_result(folder: Path, line: str, *runs: dict[str, float], **more: object) -> None:
    write_result(
        Result(line, line, {"cpus": "two"}, "2024-01-01T00:00:00", list(runs), **more),  # type: ignore[arg-type]
        folder,
    )


def test_only_the_text_between_markers_is_replaced() -> None:
    text = "before\n<!-- bench a -->\nold\n<!-- /bench -->\nafter\n"
    filled = fill(text, {"a": lambda: "new\n"})
    assert filled == "before\n<!-- bench a -->\nnew\n<!-- /bench -->\nafter\n"
    assert fill(filled, {"a": lambda: "new\n"}) == filled


def test_a_marker_with_an_unknown_name_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="no such section"):
        fill("<!-- bench b -->\n<!-- /bench -->", {"a": lambda: ""})


def test_the_document_has_a_section_for_every_line(tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    fill(text, sections(tmp_path))
    for line in registry.LINES:
        if line is not comparison.LINE:
            assert f"<!-- bench {line.name} -->" in text
    for name in ("machine", "targets", "ratios", "sizing"):
        assert f"<!-- bench {name} -->" in text


def test_lines_have_different_names_and_so_have_their_figures() -> None:
    names = [line.name for line in registry.LINES]
    assert len(set(names)) == len(names)
    for line in registry.LINES:
        figures = [figure.name for figure in line.figures]
        assert len(set(figures)) == len(figures), line.name


def test_lines_that_share_a_deployment_stand_together() -> None:
    shares = [line.shares_state for line in registry.LINES]
    assert (
        sum(now and not before for before, now in zip([False, *shares], shares, strict=False)) == 1
    )


def test_targets_are_shown_as_met_or_missed(tmp_path: Path) -> None:
    store_result(tmp_path, "latency", {"p50": 3.0, "p99": 11.0})
    text = targets_section(tmp_path)
    assert "| half of the reports within | ms | 3 | 3 | 3 | <= 4 | met |" in text
    assert "| 99 of 100 within | ms | 11 | 11 | 11 | <= 10 | **missed** |" in text


def test_a_line_that_was_not_measured_shows_the_reason(tmp_path: Path) -> None:
    store_result(tmp_path, "fleet", problem="no such endpoint")
    fleet = next(line for line in registry.LINES if line.name == "fleet")
    assert "- not measured: no such endpoint" in line_section(fleet, tmp_path)
    assert "not measured yet" in line_section(fleet, tmp_path / "empty").lower()


def test_ratios_show_peers_against_ours_and_name_those_that_did_not_run(tmp_path: Path) -> None:
    store_result(
        tmp_path,
        "comparison",
        {"live_polls": 300.0, "live_ours_seconds": 2.0, "live_ours_cpu_per_million": 3.0}
        | {"live_ours_written_per_poll": 90.0, "live_ours_peak_megabytes": 120.0}
        | {"live_quix_seconds": 6.0, "live_quix_ratio": 3.0, "live_quix_cpu_per_million": 7.0},
        notes=["Kafka Streams, live: not run: install Java"],
    )
    text = comparison.ratios_section(tmp_path)
    assert "| store-uptime, one worker | 2 | 2 | 2 | 150 | 1 | 3 | 90 | 120 |" in text
    assert "| Quix Streams | 6 | 6 | 6 | 50 | 3 | 7 |  |  |" in text
    assert "- Kafka Streams, live: not run: install Java" in text


def test_a_small_deployment_is_one_worker_and_one_api() -> None:
    small = size(COSTS, stores=100, interval=MINUTE, retention=400 * DAY)
    assert (small.workers, small.apis, small.partitions) == (1, 1, 8)


def test_a_large_deployment_runs_at_half_of_the_measured_rate() -> None:
    # 20,000 polls/s: 10,000 a worker at the most, planned at 5,000
    large = size(COSTS, stores=20_000, interval=SECOND, retention=DAY)
    assert (large.workers, large.apis, large.partitions) == (4, 14, 16)


def test_the_disk_holds_the_source_the_compacted_state_and_uncompacted_records() -> None:
    one = size(COSTS, stores=1, interval=SECOND, retention=10 * DAY)
    week, retained = 7 * 86_400, 10 * 86_400
    assert one.worker_disk == retained * 10
    assert one.broker_disk == week * 150 + 2 * retained * 10 + week * 100


def test_uncompacted_records_are_bounded_by_the_segments() -> None:
    large = size(COSTS, stores=1_000_000, interval=SECOND, retention=0)
    uncompacted = large.broker_disk - large.rate * 7 * 86_400 * COSTS.source_bytes
    assert uncompacted == large.partitions * sizing.SEGMENT_BYTES


def test_sizing_needs_measured_costs(tmp_path: Path) -> None:
    with pytest.raises(NotRunError, match="make bench ONLY=kafka-pings"):
        measured_costs(tmp_path)


def test_sizing_uses_the_medians(tmp_path: Path) -> None:
    live = {"source_bytes_per_poll": 2.0, "changelog_bytes_per_poll": 3.0}
    store_result(tmp_path, "kafka-pings", *({"drain_rate": n, **live} for n in (1.0, 5.0, 6.0)))
    store_result(tmp_path, "http-pings", {"single_mixed": 4.0})
    store_result(tmp_path, "replay", {"changelog_bytes_per_poll": 6.0, "state_bytes_per_poll": 7.0})
    assert measured_costs(tmp_path) == Costs(5.0, 4.0, 2.0, 3.0, 6.0, 7.0)


def test_a_line_that_does_not_exist_is_a_clear_error() -> None:
    answer = CliRunner().invoke(main, ["--only", "replays"])
    assert answer.exit_code == 2
    assert "no line is named 'replays'" in answer.output


def test_the_lines_are_listed() -> None:
    answer = CliRunner().invoke(main, ["--list"])
    assert [row.split()[0] for row in answer.output.splitlines()] == [
        line.name for line in registry.LINES
    ]
