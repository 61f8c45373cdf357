"""All lines, in the order in which they run and are shown.

Those that share the loaded deployment stand together: it is made once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.lines import computation, replay

if TYPE_CHECKING:
    from benchmarks.line import Line

LINES: Final[tuple[Line, ...]] = (
    replay.LINE,
    computation.LINE,
)
