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
        return  # every resource may have this file
    assert any((folder / path).exists() for folder in (ROOT, ROOT / "stream_app")), path


def folders() -> list[str]:
    """Return every folder at the top, and every package below it."""
    top = {path.name for path in ROOT.iterdir() if path.is_dir()} & {"docs", "data", "examples"}
    packages = {
        init.parent.relative_to(ROOT).as_posix()
        for name in ("stream_app", "api", "producers", "benchmarks")
        for init in (ROOT / name).glob("**/__init__.py")
    }
    deeper = ("benchmarks/peers/",)
    return sorted(top | {path for path in packages if not path.startswith(deeper)})


@pytest.mark.parametrize("folder", folders())
def test_the_map_names_every_folder(folder: str) -> None:
    named = {path.removesuffix("/") for path in paths()} | {"stream_app"}
    assert folder.removeprefix("stream_app/") in named
