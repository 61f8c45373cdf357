"""Every command that the documentation shows is run as a reader types it, and prints what it says.

A page that starts the product itself has a fresh folder; the others share one in which the demo
keeps running. Both look like a checkout that `make setup` has been run in.
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
"""make and bash end by the signal itself; the product's own commands with 0."""


def starts_the_product(page: Path) -> bool:
    return any(block.stays and not block.not_run for block in blocks_of(page))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if starts_the_product(page)], ids=name_of)
def test_a_page_that_starts_the_product(page: Path, tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for block in blocks_of(page):
            reader.does(block, page)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if not starts_the_product(page)], ids=name_of
)
def test_a_page_for_a_product_that_runs(page: Path, demo: Reader) -> None:
    for block in blocks_of(page):
        demo.does(block, page)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader in whose folder the demo keeps running."""
    with Reader(tmp_path_factory.mktemp("demo")) as reader:
        block = Block(0, "make demo KEEP=1\n", "...\n[...] the API stays up ...\n", stays=True)
        reader.does(block, ROOT / "README.md")
        yield reader


class Reader:
    """Somebody with a checkout and some terminals, who types what a page shows.

    The API and the status page have ports of their own here, since several test runs share a
    machine: they take the place of 8000 and 8080 in what is typed and in what is printed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[_Terminal] = []
        self._report_id = ""
        make_checkout(folder, "data", "examples")
        # into a pipe curl would draw its progress, which a terminal does not show
        (folder / ".curlrc").write_text("no-progress-meter\n")
        self._port, self._public_port = free_ports(2)
        outside = {name: value for name, value in os.environ.items() if _is_kept(name)}
        self._environment = {
            **outside,
            f"{PREFIX}API_PORT": str(self._port),
            "COLUMNS": "80",
            "CURL_HOME": str(folder),
        }

    def does(self, block: Block, page: Path) -> None:
        """Type a block, and compare what is printed."""
        if block.not_run:
            return
        if block.stops_earlier:
            self._ctrl_c()
        place = f"{name_of(page)}:{block.line}"
        text = block.text.replace("REPORT_ID", self._report_id or "REPORT_ID")
        terminal = _Terminal(self._here(text), self._folder, self._environment)
        if block.stays:
            self._running.append(terminal)
            promised = block.promised or "...\nready at ...\n"
            terminal.wait_for(pattern_of(self._here(promised)), place)
        else:
            code = terminal.end()
            assert code == block.exit_code, f"{place}: ended with {code}:\n{terminal.text}"
            self._check(block, terminal.text, place)
        found = re.findall(r'(?:^report |"report_id": ?")([0-9a-f-]{36})', terminal.text, re.M)
        self._report_id = found[-1] if found else self._report_id

    def _check(self, block: Block, printed: str, place: str) -> None:
        refused = re.findall(r"^HTTP/1\.1 [45].*", printed, re.M)
        assert not refused or refused[0] in (block.promised or ""), f"{place}: {printed}"
        if block.promised is not None:
            promised = self._here(block.promised)
            assert re.fullmatch(pattern_of(promised), printed.replace("\r", "")), (
                f"{place} promises\n{promised}\nand prints\n{printed}"
            )

    def _here(self, text: str) -> str:
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


def _is_kept(name: str) -> bool:
    """Settings of whoever runs the tests do not reach the reader; the cache of jars does."""
    return not name.startswith(PREFIX) or name == f"{PREFIX}CACHE_DIR"


class _Terminal:
    """A shell that runs one block; what it prints comes as one text."""

    def __init__(self, commands: str, folder: Path, environment: dict[str, str]) -> None:
        self.text = ""
        self._heard = threading.Condition()
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
            with self._heard:
                self.text += line if line.endswith("\n") else f"{line}\n"
                self._heard.notify_all()

    def wait_for(self, pattern: str, place: str) -> None:
        """Wait until what is printed so far begins as promised."""
        deadline = time.monotonic() + LIMIT
        with self._heard:
            while not re.match(pattern, self.text):
                left = deadline - time.monotonic()
                assert left > 0, f"{place}: only this was printed:\n{self.text}"
                assert self._process.poll() is None or self._listener.is_alive(), (
                    f"{place}: ended with {self._process.returncode}:\n{self.text}"
                )
                self._heard.wait(min(left, 1))

    def end(self, number: signal.Signals | None = None) -> int:
        """The exit code, once a signal as from the keyboard, or its own work, has ended it."""
        if number is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)
        try:
            code = self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise
        self._listener.join(LIMIT)
        return code
