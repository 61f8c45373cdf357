"""Every command of the documentation runs as a reader types it, and prints what the page shows.

A page that starts the product itself has a folder of its own; the other pages share a folder in
which the demo runs. Both folders look like a checkout in which `make setup` was run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING, Final, Self

import pytest

from stream_app.local.processes.ports import free_ports
from stream_app.setting_variables import PREFIX
from tests.sample import ROOT
from tests.shown_commands import Block, blocks_of, make_checkout, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PAGES = [
    page
    for page in [
        ROOT / "README.md",
        ROOT / "examples/README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    if any(not block.not_run for block in blocks_of(page))
]

LIMIT: Final = 120.0
ENDED_BY_CTRL_C: Final = (0, 130, -signal.SIGINT)
"""Exit codes after Ctrl-C: make and bash end by the signal, the product's commands with 0."""


def starts_the_product(page: Path) -> bool:
    return any(block.keeps_running and not block.not_run for block in blocks_of(page))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if starts_the_product(page)], ids=name_of)
def test_a_page_that_starts_the_product(page: Path, tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for block in blocks_of(page):
            reader.type_block(block, page)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if not starts_the_product(page)], ids=name_of
)
def test_a_page_for_a_product_that_runs(page: Path, demo: Reader) -> None:
    for block in blocks_of(page):
        demo.type_block(block, page)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Start the demo, and return a reader in its folder."""
    with Reader(tmp_path_factory.mktemp("demo")) as reader:
        block = Block(
            0, "make demo KEEP=1\n", "...\n[...] the API stays up ...\n", keeps_running=True
        )
        reader.type_block(block, ROOT / "README.md")
        yield reader


class Reader:
    """A user with a checkout and some terminals, who types the commands of a page.

    The API and the status page have other ports here, since several test runs share a machine:
    these ports replace 8000 and 8080 in the commands and in the expected output.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[_Terminal] = []
        self._report_id = ""
        make_checkout(folder, "data", "examples")
        # without a terminal curl would print its progress
        (folder / ".curlrc").write_text("no-progress-meter\n")
        self._port, self._public_port = free_ports(2)
        inherited = {name: value for name, value in os.environ.items() if _is_inherited(name)}
        self._environment = {
            **inherited,
            f"{PREFIX}API_PORT": str(self._port),
            "COLUMNS": "80",
            "CURL_HOME": str(folder),
        }

    def type_block(self, block: Block, page: Path) -> None:
        """Type a block of commands, and compare the output with the page."""
        if block.not_run:
            return
        if block.stops_earlier:
            self._ctrl_c()
        place = f"{name_of(page)}:{block.line}"
        text = block.text.replace("REPORT_ID", self._report_id or "REPORT_ID")
        terminal = _Terminal(self._with_ports(text), self._folder, self._environment)
        if block.keeps_running:
            self._running.append(terminal)
            expected_output = block.expected_output or "...\nready at ...\n"
            terminal.wait_for(pattern_of(self._with_ports(expected_output)), place)
        else:
            code = terminal.end()
            assert code == block.exit_code, f"{place}: ended with {code}:\n{terminal.text}"
            self._check(block, terminal.text, place)
        ids = re.findall(r'(?:^report |"report_id": ?")([0-9a-f-]{36})', terminal.text, re.M)
        self._report_id = ids[-1] if ids else self._report_id

    def _check(self, block: Block, printed: str, place: str) -> None:
        refused = re.findall(r"^HTTP/1\.1 [45].*", printed, re.M)
        assert not refused or refused[0] in (block.expected_output or ""), f"{place}: {printed}"
        if block.expected_output is not None:
            expected_output = self._with_ports(block.expected_output)
            assert re.fullmatch(pattern_of(expected_output), printed.replace("\r", "")), (
                f"{place} promises\n{expected_output}\nand prints\n{printed}"
            )

    def _with_ports(self, text: str) -> str:
        return re.sub(
            r"\b8000\b", f"{self._port}", re.sub(r"\b8080\b", f"{self._public_port}", text)
        )

    def _ctrl_c(self) -> None:
        while self._running:
            terminal = self._running.pop()
            code = terminal.end(signal.SIGINT)
            assert code in ENDED_BY_CTRL_C, f"ended with {code}:\n{terminal.text}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._ctrl_c()
        for terminal in self._running:
            terminal.end(signal.SIGTERM)


def _is_inherited(name: str) -> bool:
    """Return False for settings of the product, except for the folder of downloaded jars."""
    return not name.startswith(PREFIX) or name == f"{PREFIX}CACHE_DIR"


class _Terminal:
    """A shell that runs one block; `text` is its output so far."""

    def __init__(self, commands: str, folder: Path, environment: dict[str, str]) -> None:
        self.text = ""
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            ["bash", "-eo", "pipefail", "-c", commands],
            cwd=folder,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stdout,), daemon=True
        )
        self._listener.start()

    def _listen(self, output: IO[str]) -> None:
        for line in output:
            with self._changed:
                self.text += line if line.endswith("\n") else f"{line}\n"
                self._changed.notify_all()

    def wait_for(self, pattern: str, place: str) -> None:
        """Wait until the output so far begins as the page shows it."""
        deadline = time.monotonic() + LIMIT
        with self._changed:
            while not re.match(pattern, self.text):
                left = deadline - time.monotonic()
                assert left > 0, f"{place}: only this was printed:\n{self.text}"
                assert self._process.poll() is None or self._listener.is_alive(), (
                    f"{place}: ended with {self._process.returncode}:\n{self.text}"
                )
                self._changed.wait(min(left, 1))

    def end(self, number: signal.Signals | None = None) -> int:
        """Wait for the end, after a signal if one is given, and return the exit code."""
        if number is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)
        try:
            code = self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise
        self._listener.join(LIMIT)
        return code
