"""The screenshots of the documentation can be made again at any time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.chromium import NO_CHROMIUM
from tests.sample import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

PICTURES = ROOT / "docs/pictures"


def size_of(picture: Path) -> tuple[int, int]:
    """Return the width and the height of a PNG."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def test_every_screenshot_is_made_of_a_running_demo(tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip(NO_CHROMIUM)
    process = subprocess.run(
        [sys.executable, ROOT / "docs/screenshots.py", "--output", tmp_path],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    sizes = {picture.name: size_of(picture) for picture in tmp_path.iterdir()}
    assert sizes == {picture.name: size_of(picture) for picture in PICTURES.glob("*.png")}
    # all pictures differ: of two pages, and of the light and the dark colours
    assert len({picture.read_bytes() for picture in tmp_path.iterdir()}) == len(sizes)
