"""Describes the machine of the measurement, without its name and without paths."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Final

from stream_app.local.kafka.jars import KAFKA_VERSION

_LIBRARIES: Final = ("faust-streaming", "aiokafka", "aiohttp", "orjson", "polars", "rocksdict")


def describe_machine() -> dict[str, str]:
    """Describe the machine and the versions that the figures depend on."""
    cpus = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpus": f"{cpus} x {_cpu_model(Path('/proc/cpuinfo').read_text(encoding='utf-8'))}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "kafka": f"{KAFKA_VERSION}, one node on the same machine",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
    }


def _cpu_model(cpuinfo: str) -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return " ".join(match[1].split()) if match else platform.machine()


def load_average() -> float:
    """Return the load average of the last minute: 0 on an idle machine."""
    return os.getloadavg()[0]
