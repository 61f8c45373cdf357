"""Reads the commands that a page of the documentation shows, so that a test can run them.

A fenced block of `bash` has the commands that a reader types. A fenced block of `text` after it,
with only blank lines or prose between the two, has the output: `...` stands for any text within a
line, and a line of `...` alone stands for any lines. A comment before a block may describe it:

    <!-- block: keeps running -->               runs until Ctrl-C, while the next blocks are typed
    <!-- block: after Ctrl-C, keeps running --> first stops the blocks that keep running
    <!-- block: exit code 1 -->                 the last command ends with this exit code
    <!-- block: not run, REASON -->             needs something that no test has
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.sample import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_FENCE: Final = re.compile(
    r"(?:^<!-- block: (?P<meant>[^\n]*?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    flags=re.MULTILINE | re.DOTALL,
)
_MEANT: Final = re.compile(
    r"(?P<stop>after Ctrl-C)?(?:, )?(?P<keeps_running>keeps running)?"
    r"|exit code (?P<code>[0-9]+)"
    r"|not run, (?P<reason>.+)"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands in a page.

    Attributes:
        line: line number of its first command in the page.
        text: the commands.
        expected_output: the output in the page; None if the page shows none.
        keeps_running: True if it runs until Ctrl-C.
        stops_earlier: True if Ctrl-C ends earlier blocks first.
        exit_code: expected exit code of the last command.
        not_run: the reason why a test cannot run it; empty if it can.
    """

    line: int
    text: str
    expected_output: str | None = None
    keeps_running: bool = False
    stops_earlier: bool = False
    exit_code: int = 0
    not_run: str = ""


def blocks_of(page: Path) -> list[Block]:
    """Read the blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    blocks = []
    for number, fence in enumerate(fences):
        if fence["language"] != "bash":
            assert not fence["meant"], f"{page}: only a bash block is run: {fence[0]}"
            continue
        following = fences[number + 1] if number + 1 < len(fences) else None
        expected_output = None
        if (
            following is not None
            and following["language"] == "text"
            and not re.search(r"^#", text[fence.end() : following.start()], flags=re.MULTILINE)
        ):
            expected_output = following["text"]
        meant = _MEANT.fullmatch(fence["meant"] or "")
        assert meant is not None, f"{page}: what does {fence['meant']!r} mean?"
        blocks.append(
            Block(
                line=text.count("\n", 0, fence.start("text")) + 1,
                text=fence["text"],
                expected_output=expected_output,
                keeps_running=meant["keeps_running"] is not None,
                stops_earlier=meant["stop"] is not None,
                exit_code=int(meant["code"] or 0),
                not_run=meant["reason"] or "",
            )
        )
    return blocks


def make_checkout(folder: Path, *further: str) -> None:
    """Make a folder look like a checkout after `make setup`."""
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(ROOT / ".venv/bin")
    for name in ("Makefile", "pyproject.toml", "requirements.lock", *further):
        (folder / name).symlink_to(ROOT / name)
    # make compares the time of this file with those of the files that it depends on
    (folder / ".venv/.set-up").touch()


def pattern_of(expected_output: str) -> str:
    """Make a regular expression of the output in a page: whole lines, in their order."""
    lines = []
    for line in expected_output.splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(".*".join(re.escape(part) for part in line.split("...")) + r" *\n")
    return "".join(lines)
