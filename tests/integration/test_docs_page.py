"""The page that shows the API, in a real browser."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from api.description.openapi import OPERATIONS
from tests.fakes import FakeGateway
from tests.live_server import served

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(not CHROMIUM, reason="needs a browser: apt-get install chromium")
def test_a_browser_shows_every_operation_and_has_nothing_to_complain_of(tmp_path: Path) -> None:
    def create() -> web.Application:
        gateway: Any = FakeGateway()
        return create_app(gateway)

    with served(create) as address:
        shown = subprocess.run(
            [
                *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"),
                f"--user-data-dir={tmp_path}",
                # until nothing is left to do, not so many seconds
                *("--virtual-time-budget=20000", "--enable-logging=stderr", "--dump-dom"),
                f"{address}/docs",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

    assert shown.stdout.count('class="opblock-summary-path"') == len(OPERATIONS)
    complaints = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
