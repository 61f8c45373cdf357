"""The page `/docs` shows the API with files of this server alone."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import api.openapi
from tests.unit.api.answers import problem_of

if TYPE_CHECKING:
    from tests.http_client import TestClient

FOLDER = Path(api.openapi.__file__).parent
TYPES = {"css": "text/css", "js": "text/javascript"}


async def test_the_page_and_all_that_it_names_are_served(client: TestClient) -> None:
    response = await client.get("/docs")
    assert response.status == HTTPStatus.OK
    assert response.headers["Content-Type"].startswith("text/html")
    page = await response.text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    files = [name for name in named if name.startswith("docs/")]
    assert len(files) == 4
    for name in files:
        answer = await client.get(f"/{name}")
        assert answer.status == HTTPStatus.OK
        assert answer.headers["Content-Type"].startswith(TYPES[name.rpartition(".")[2]])
        assert await answer.read()
    assert "/openapi.json" in {f"/{name}" for name in named}


async def test_the_page_needs_no_other_host_and_no_script_within_it(client: TestClient) -> None:
    response = await client.get("/docs")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script(?! src)|<style|style=|https?:", await response.text())


async def test_a_file_that_a_browser_has_is_not_sent_again(client: TestClient) -> None:
    first = await client.get("/docs/swagger-ui.css")
    again = await client.get(
        "/docs/swagger-ui.css", headers={"If-None-Match": first.headers["ETag"]}
    )
    assert again.status == HTTPStatus.NOT_MODIFIED


async def test_no_other_file_is_served(client: TestClient) -> None:
    for name in ("x.js", "..%2Fopenapi.py", "%2e%2e%2fschemas.py", "VERSION.txt"):
        await problem_of(await client.get(f"/docs/{name}"), HTTPStatus.NOT_FOUND)


def test_the_version_of_swagger_ui_is_the_recorded_one() -> None:
    name, version = (FOLDER / "swagger/VERSION.txt").read_text().split()
    assert name == "swagger-ui-dist"
    assert f'"{version}"' in (FOLDER / "swagger/swagger-ui-bundle.js").read_text()
    assert "Apache License" in (FOLDER / "swagger/LICENSE").read_text()
