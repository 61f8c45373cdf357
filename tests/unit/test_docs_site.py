"""The documentation names only what is there; its site builds without a warning or another host."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from api.app import create_app
from api.description.openapi import openapi
from stream_app.cli.main import cli
from stream_app.contracts.topics import ALL_TOPICS
from stream_app.settings import defaults
from tests.fakes import FakeGateway

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples/README.md"]

COMMAND = re.compile(r"(?:\.venv/bin/)?store-uptime ([a-z-]+.*)")
CALL = re.compile(
    r"(GET|POST|PUT) (/[a-z_./{}A-Z-]*)|(?:localhost:8000|localhost:8080)(/[A-Za-z0-9_./-]+)"
)


def code_lines(page: Path) -> list[str]:
    """Lines that a reader copies: indented or fenced."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"```(?:bash|text)\n(.*?)```", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4}(\S.*)$", text, flags=re.MULTILINE)
    return [*indented, *(line for block in fenced for line in block.splitlines())]


def commands() -> list[str]:
    return sorted(
        {
            match[1].partition(" #")[0].strip()
            for page in PAGES
            for line in code_lines(page)
            if (match := COMMAND.search(line)) is not None
        }
    )


@pytest.mark.parametrize("line", commands())
def test_every_command_and_option_that_is_shown_is_there(line: str) -> None:
    words = shlex.split(line.replace("$(", "").split(" > ")[0])
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
    options = {name for parameter in command.params for name in parameter.opts} | {"-h", "--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options


def test_commands_are_shown_at_all() -> None:
    assert {line.split()[0] for line in commands()} >= {"up", "replay", "report", "explain"}


def test_every_call_that_is_shown_is_there() -> None:
    known = [
        re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", path))
        for path in [*openapi(create_app(FakeGateway()))["paths"], "/public/", "/"]  # type: ignore[arg-type]
    ]
    shown = {
        (match[2] or match[3]).rstrip("/.") or "/"
        for page in PAGES
        for match in CALL.finditer(page.read_text(encoding="utf-8"))
    }
    assert len(shown) > 10
    assert [path for path in shown if not any(each.fullmatch(path) for each in known)] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; a warning is an error there."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("the site's tools are not there: make docs")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_asks_no_other_host(site: Path) -> None:
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"?(https?:)?//"
        r"|<link[^>]+rel=\"?(?:stylesheet|preconnect|icon)\"?[^>]+href=\"?(https?:)?//"
        r"|<link[^>]+href=\"?(https?:)?//[^>]+rel=\"?(?:stylesheet|preconnect|icon)"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert [page.name for page in pages if loads.search(page.read_text(encoding="utf-8"))] == []


def test_the_reference_is_all_that_there_is(site: Path) -> None:
    def text(name: str) -> str:
        page = (site / "reference" / f"{name}.html").read_text(encoding="utf-8")
        return re.sub(r"<[^>]+>", "", page)

    settings, topics, http, shown = (text(n) for n in ("settings", "topics", "http", "commands"))
    assert [line.variable for line in defaults() if line.variable not in settings] == []
    assert [topic.name for topic in ALL_TOPICS if topic.name not in topics] == []
    paths = openapi(create_app(FakeGateway()))["paths"]  # type: ignore[arg-type]
    assert [path for path in paths if path not in http] == []
    names = cli.list_commands(click.Context(cli))
    assert [name for name in names if f"store-uptime {name}" not in shown] == []
