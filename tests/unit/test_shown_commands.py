"""The blocks of a page are read as commands with their expected output."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.shown_commands import Block, blocks_of, pattern_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


def test_each_block_has_its_expected_output(page: Path) -> None:
    page.write_text(
        "# Page\n\n```bash\none\n```\n\nIt prints:\n\n```text\n1\n```\n\n"
        "<!-- block: keeps running -->\n```bash\ntwo\n```\n\n"
        "<!-- block: exit code 3 -->\n```bash\nthree\n```\n\n## Next\n\n```text\nno output\n```\n\n"
        "1. In a list:\n\n    ```bash\n    four\n    ```\n\n"
        "<!-- block: after Ctrl-C, keeps running -->\n```bash\nfive\n```\n"
        "<!-- block: not run, it costs money -->\n```bash\nsix\n```\n"
    )
    assert blocks_of(page) == [
        Block(4, "one\n", expected_output="1\n"),
        Block(15, "two\n", keeps_running=True),
        Block(20, "three\n", exit_code=3),
        Block(32, "    four\n"),
        Block(37, "five\n", keeps_running=True, stops_earlier=True),
        Block(41, "six\n", not_run="it costs money"),
    ]


@pytest.mark.parametrize(
    "options", ["skip", "exit code x", "not run", "not run, ", "keeps  running"]
)
def test_an_unknown_comment_of_a_block_is_an_error(page: Path, options: str) -> None:
    page.write_text(f"<!-- block: {options} -->\n```bash\none\n```\n")
    with pytest.raises(AssertionError, match="what does"):
        blocks_of(page)


@pytest.mark.parametrize(
    ("expected_output", "printed", "matches"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n...\n", "a\n", True),
        ("a\n...\n", "a\nb\nc\n", True),
        ("...\nc\n", "a\nb\nc\n", True),
        ("...\nc\n", "a\nb\n", False),
        ("report ...\n", "report 7\n", True),
        ("report ...\n", "a report 7\n", False),
        ("1.5 (x)\n", "1.5 (x)\n", True),
        ("1.5\n", "1x5\n", False),
    ],
)
def test_output_matches_the_promised_text_or_differs(
    expected_output: str, printed: str, matches: bool
) -> None:
    assert (re.fullmatch(pattern_of(expected_output), printed) is not None) == matches
