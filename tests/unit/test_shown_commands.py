"""Pages as their readers see them: what is typed, and what is promised to be printed."""

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


def test_blocks_with_what_they_print(page: Path) -> None:
    page.write_text(
        "# Page\n\n```bash\none\n```\n\nIt prints:\n\n```text\n1\n```\n\n"
        "<!-- block: keeps running -->\n```bash\ntwo\n```\n\n"
        "<!-- block: exit code 3 -->\n```bash\nthree\n```\n\n## Next\n\n```text\nno output\n```\n\n"
        "1. In a list:\n\n    ```bash\n    four\n    ```\n\n"
        "<!-- block: after Ctrl-C, keeps running -->\n```bash\nfive\n```\n"
        "<!-- block: not run, it costs money -->\n```bash\nsix\n```\n"
    )
    assert blocks_of(page) == [
        Block(4, "one\n", promised="1\n"),
        Block(15, "two\n", stays=True),
        Block(20, "three\n", exit_code=3),
        Block(32, "    four\n"),
        Block(37, "five\n", stays=True, stops_earlier=True),
        Block(41, "six\n", not_run="it costs money"),
    ]


@pytest.mark.parametrize("meant", ["skip", "exit code x", "not run", "not run, ", "keeps  running"])
def test_a_comment_that_means_nothing_is_an_error(page: Path, meant: str) -> None:
    page.write_text(f"<!-- block: {meant} -->\n```bash\none\n```\n")
    with pytest.raises(AssertionError, match="what does"):
        blocks_of(page)


@pytest.mark.parametrize(
    ("promised", "printed", "kept"),
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
def test_a_promise_is_kept_or_broken(promised: str, printed: str, kept: bool) -> None:
    assert (re.fullmatch(pattern_of(promised), printed) is not None) == kept
