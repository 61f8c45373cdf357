from __future__ import annotations

import gc
import subprocess
import sys

_PROGRAM = """
import gc
from stream_app.local.processes.gc_tuning import reduce_gc
kept = [[number] for number in range(1000)]
reduce_gc()
looked = []
gc.callbacks.append(lambda phase, told: looked.append(phase))
made = [[number] for number in range(5_000)]
print(gc.get_freeze_count() > 1000, len(looked), gc.isenabled())
"""


def test_what_is_there_is_not_looked_at_again_and_what_comes_less_often() -> None:
    thresholds = gc.get_threshold()

    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True
    )

    assert ended.stdout.split() == ["True", "0", "True"]
    assert gc.get_threshold() == thresholds
