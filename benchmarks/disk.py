"""Measures sizes on disk: of a topic's records, and of the worker's databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def topic_bytes(broker_folder: Path, topic: str) -> int:
    """Return the bytes of a topic's records on the broker's disk, without its indexes."""
    return sum(
        segment.stat().st_size
        for folder in broker_folder.rglob(f"{topic}-*")
        if folder.name.removeprefix(f"{topic}-").isdigit()
        for segment in folder.glob("*.log")
    )


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder and its subfolders, whose files may change."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # the database has removed it since
    return total
