"""Pages and descriptions have one word for one thing: poll, report, business hours, up, down."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.pages.routes import FOLDER
from api.public.app import ASSETS as PUBLIC_ASSETS

if TYPE_CHECKING:
    from tests.http_client import TestClient

OLD_WORDS = (
    "Report of all stores",
    "Report of this store",
    "No report:",
    "the newest poll of all",
    "last poll",
    "no poll yet",
    "No polls",
    "counts for nothing",
    "No recent poll",
    "counts as down`",
    "is the share of them",
    "Always open",
    "no hours are known",
    "nothing was down in business hours",
    "is like this",
    "is not a part of a store id",
    "Nothing is heard",
    "Down, hour",
    "Down, day",
    "Down, week",
    "Days as a table",
    "Day by day",
    "Reported inactive",
    "Try now",
    "Trying again",
    "try again later",
    "Show older",
    "Connection lost",
    "reconnecting",
    "being worked out",
    "See it",
)
"""Texts that the pages had once, and for which they have other words now."""

OTHER_WORDS = (r"pings?", r"opening hours", r"menu hours", r"heartbeats?")
"""Words for a poll and for business hours, which have no second name."""

DOCS = Path(__file__).parents[3] / "docs" / "how-to" / "page.md"
COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*|<!--.*?-->", re.DOTALL)


def without_comments(text: str) -> str:
    """Return a script or page without its comments, which nobody reads in a browser."""
    return COMMENT.sub("", text)


async def test_pages_as_they_are_served_have_none_of_the_old_words(client: TestClient) -> None:
    paths = ["/", "/store/x", *(f"/assets/{path.name}" for path in FOLDER.iterdir())]
    served = {path: await (await client.get(path)).text() for path in paths if path != "/assets/"}
    served |= {name: asset.content.decode() for name, asset in PUBLIC_ASSETS.items()}
    assert len(served) > 20
    uses = [
        f"{path}: {word}"
        for path, text in served.items()
        for word in OLD_WORDS
        # the name of a field is no word of the page
        if word.lower() in without_comments(text).lower().replace("last_poll", "")
    ]
    uses += [
        f"{path}: {word}"
        for path, text in served.items()
        for word in OTHER_WORDS
        if re.search(rf"\b{word}\b", without_comments(text), re.IGNORECASE)
    ]
    assert uses == []


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
async def test_the_descriptions_of_the_api_have_one_word_for_one_thing(
    client: TestClient, path: str
) -> None:
    text = json.dumps(await (await client.get(path)).json())
    assert "polls" in text
    for word in (*OTHER_WORDS, "try again later", "is like this"):
        assert re.findall(rf".{{0,40}}\b{word}\b.{{0,40}}", text, re.IGNORECASE) == [], word


def test_the_documentation_of_the_pages_has_none_of_the_old_words() -> None:
    text = DOCS.read_text()
    for word in (*OLD_WORDS, *OTHER_WORDS):
        assert re.findall(rf".{{0,40}}\b{word}\b.{{0,40}}", text, re.IGNORECASE) == [], word
