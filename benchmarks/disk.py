"""What lies on disk: records of topics at the broker, databases of the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def topic_bytes(broker_folder: Path, topic: str) -> int:
    """Bytes of all records of a topic, as the broker keeps them; its indexes left out."""
    return sum(
        segment.stat().st_size
        for folder in broker_folder.rglob(f"{topic}-*")
        if folder.name.removeprefix(f"{topic}-").isdigit()
        for segment in folder.glob("*.log")
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under a folder that may change meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # a database replaced it
    return total
