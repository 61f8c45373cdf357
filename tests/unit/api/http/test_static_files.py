from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.http.static_files import CONTENT_SECURITY_POLICY
from api.pages.routes import ASSETS, FOLDER
from api.public.app import ASSETS as PUBLIC_ASSETS
from tests.unit.api.answers import STORE, problem_of

if TYPE_CHECKING:
    from tests.http_client import TestClient

ROOT = Path(__file__).parents[4]
PAGES = ["/", f"/store/{STORE}", "/store/7"]
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
FILES = sorted(path.name for path in FOLDER.iterdir())
PUBLIC = FOLDER.parent / "public" / "web"


@pytest.mark.parametrize("path", [*PAGES, "/assets/base.css", "/assets/fleet.js"])
async def test_pages_and_assets_have_the_headers_that_restrict_a_browser(
    client: TestClient, path: str
) -> None:
    response = await client.get(path)
    assert response.status == HTTPStatus.OK
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cache-Control"] == "no-cache"


def test_the_policy_allows_this_server_alone() -> None:
    assert CONTENT_SECURITY_POLICY == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_with_its_type_and_content(
    client: TestClient, name: str
) -> None:
    response = await client.get(f"/assets/{name}")
    assert response.status == HTTPStatus.OK
    assert response.headers["Content-Type"] == f"{KINDS[Path(name).suffix]}; charset=utf-8"
    assert await response.read() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("path", [*PAGES, "/assets/base.css"])
async def test_a_file_that_a_browser_has_is_not_sent_again(client: TestClient, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == HTTPStatus.NOT_MODIFIED
    assert await again.read() == b""
    assert again.headers["ETag"] == first.headers["ETag"]
    other = await client.get(path, headers={"If-None-Match": '"another"'})
    assert other.status == HTTPStatus.OK


async def test_the_answer_to_head_has_no_body(client: TestClient) -> None:
    response = await client.head("/")
    assert response.status == HTTPStatus.OK
    assert await response.read() == b""


def test_other_content_has_another_etag() -> None:
    assert len({asset.etag for asset in ASSETS.values()}) == len(ASSETS)


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpages.py", "%2E%2E%2Fpages.py", "web"])
async def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    await problem_of(await client.get(f"/assets/{name}"), HTTPStatus.NOT_FOUND)


@pytest.mark.parametrize("name", FILES)
def test_a_file_names_only_files_that_exist_and_no_other_host(name: str) -> None:
    text = (FOLDER / name).read_text()
    named = set(re.findall(r'"/assets/([^"]+)"', text))
    named |= set(re.findall(r'from "\./([^"]+)"', text))
    assert named <= set(FILES)
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("path", sorted(PUBLIC.iterdir()), ids=lambda path: path.name)
def test_the_status_page_works_at_any_address_and_names_nothing_inside(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r'(?:href|src)="([^"]+)"', text))
    named |= set(re.findall(r'fetch\("([^"]+)"', text))
    assert named <= {"./status.json", *(f"./assets/{name}" for name in PUBLIC_ASSETS)}
    assert {name[2:] for name in re.findall(r'from "([^"]+)"', text)} <= set(PUBLIC_ASSETS)
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}


def test_the_wheel_contains_the_pages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"api/web/{name}" for name in FILES} <= names
    assert {f"api/public/web/{path.name}" for path in PUBLIC.iterdir()} <= names
    assert not any(name.startswith("tests/") for name in names)
