"""CONTRIBUTING names only files and folders that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
PATH = re.compile(r"`([\w.-]*(?:/[\w.-]*)+|[\w-]+\.(?:py|yml))`")


def paths() -> list[str]:
    return sorted(set(PATH.findall(PAGE.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("path", paths())
def test_a_path_exists(path: str) -> None:
    if "/" not in path and any((ROOT / "api").rglob(path)):
        return  # a file that every resource has
    assert any((folder / path).exists() for folder in (ROOT, ROOT / "stream_app")), path


def test_the_map_names_every_folder() -> None:
    """Also a folder of a resource of the API, through its parent."""
    named = {path.rstrip("/") for path in paths()}
    for package in ("domain", "contracts", "kafka", "worker", "explain", "local", "cli"):
        assert package in named
        assert (ROOT / "stream_app" / package / "__init__.py").exists()
    for folder in (ROOT / "stream_app").iterdir():
        assert not (folder / "__init__.py").exists() or folder.name in named
