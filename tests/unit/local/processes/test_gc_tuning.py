from __future__ import annotations

import gc
import subprocess
import sys

_PROGRAM = """
import gc
from stream_app.local.processes.gc_tuning import reduce_gc
existing = [[number] for number in range(1000)]
reduce_gc()
phases = []
gc.callbacks.append(lambda phase, info: phases.append(phase))
new = [[number] for number in range(5_000)]
print(gc.get_freeze_count() > 1000, len(phases), gc.isenabled())
"""


def test_existing_objects_are_never_collected_and_new_ones_less_often() -> None:
    thresholds = gc.get_threshold()

    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True
    )

    assert ended.stdout.split() == ["True", "0", "True"]
    assert gc.get_threshold() == thresholds
