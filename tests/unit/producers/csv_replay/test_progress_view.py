"""Tests of who sees a bar, and who sees plain lines."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

from producers.csv_replay.progress_bar import ProgressBar
from producers.csv_replay.progress_view import PlainView, default_view

if TYPE_CHECKING:
    import pytest


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _Terminal())
    assert isinstance(default_view(), ProgressBar)


def test_a_log_shows_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(default_view(), PlainView)


def test_a_replay_into_a_log_imports_no_library_of_bars() -> None:
    code = "import sys, stream_app.cli.replay as r; r.default_view(); print('rich' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"
