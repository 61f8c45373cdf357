"""All lines, in the order in which they run and are shown.

Lines that share the loaded deployment are next to each other, so that it is made only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks import comparison
from benchmarks.lines import (
    computation,
    csv_reports,
    fleet,
    growth,
    hostile_bodies,
    http_pings,
    kafka_pings,
    large_fleet,
    latency,
    physical_limits,
    replay,
    restart,
    takeover,
    views,
    write_cost,
)

if TYPE_CHECKING:
    from benchmarks.line import Line

LINES: Final[tuple[Line, ...]] = (
    replay.LINE,
    fleet.LINE,
    latency.LINE,
    views.LINE,
    restart.LINE,
    takeover.LINE,
    computation.LINE,
    write_cost.LINE,
    http_pings.LINE,
    hostile_bodies.LINE,
    kafka_pings.LINE,
    growth.LINE,
    csv_reports.LINE,
    large_fleet.LINE,
    physical_limits.LINE,
    comparison.LINE,
)
