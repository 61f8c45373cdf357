"""The documentation names only existing things; its site builds without a warning."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from api.app import RESOURCES, create_app
from api.openapi.asyncapi import asyncapi
from api.openapi.openapi import openapi
from stream_app.cli.main import cli
from stream_app.contracts.topics import ALL_TOPICS
from stream_app.errors import StoreUptimeError
from stream_app.settings import Settings
from stream_app.settings_table import defaults
from tests.fakes import FakeGateway
from tests.shown_commands import blocks_of, make_checkout

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples/README.md"]
ALL_MARKDOWN = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "data/README.md"]

# a command ends with its substitution, `$(...)`, or its step of a pipeline
COMMAND = re.compile(r"(?:\.venv/bin/)?store-uptime ([a-z-]+[^)|\n]*)")
CALL = re.compile(
    r"(GET|POST|PUT) (/[a-z_./{}A-Z-]*)|(?:localhost:8000|localhost:8080)(/[A-Za-z0-9_./-]+)"
)


def code_lines(page: Path) -> list[str]:
    """Return the lines that a reader copies."""
    fenced = re.findall(
        r"^ *```(?:bash|text)\n(.*?)^ *```$",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    return [line for block in fenced for line in block.splitlines()]


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
def test_every_shown_command_and_option_exists(line: str) -> None:
    words = shlex.split(line.replace("$(", "").split(" > ")[0])
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        subcommand = command.get_command(context, words[0])
        assert subcommand is not None, f"no command {words[0]}"
        command, words = subcommand, words[1:]
    options = {name for parameter in command.params for name in parameter.opts} | {"-h", "--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options


def test_the_pages_show_commands() -> None:
    assert {line.split()[0] for line in commands()} >= {"up", "replay", "report", "explain"}


def test_every_shown_call_exists() -> None:
    known = [
        re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", path))
        for path in [*openapi(create_app(FakeGateway()), RESOURCES)["paths"], "/public", "/"]
    ]
    shown = {
        (match[2] or match[3]).rstrip("/.") or "/"
        for page in PAGES
        for match in CALL.finditer(page.read_text(encoding="utf-8"))
    }
    assert len(shown) > 10
    assert [path for path in shown if not any(each.fullmatch(path) for each in known)] == []


NOT_RUN = {
    "README.md": 1,
    "docs/how-to/cluster.md": 3,
    "docs/how-to/pings.md": 1,
    "docs/how-to/reports.md": 1,
    "docs/performance.md": 1,
}
"""The number of blocks per page that tests/e2e/test_shown_commands.py cannot run."""


def test_blocks_that_cannot_be_run_are_counted() -> None:
    blocks = {str(page.relative_to(ROOT)): blocks_of(page) for page in PAGES}
    skipped = {name: [block for block in of if block.not_run] for name, of in blocks.items()}
    assert {name: len(of) for name, of in skipped.items() if of} == NOT_RUN
    run = [block for of in blocks.values() for block in of if not block.not_run]
    assert len(run) > 30


@pytest.mark.parametrize("page", ALL_MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_is_fenced(page: Path) -> None:
    """Code that is only indented would become prose as soon as a line before it moves.

    A block of commands is marked as `bash`, since only these blocks are run by a test.
    """
    whole = page.read_text(encoding="utf-8")
    assert "~~~" not in whole
    languages = set(re.findall(r"^ *```(.*)\n(?:.*\n)*?^ *```$", whole, flags=re.M))
    assert languages <= {"bash", "text", "python", "java"}
    text = re.sub(r"^( *)```.*?^ *```$", "", whole, flags=re.M | re.S)
    after_blank = re.compile(r"(?:^|\n\n) {4,}(?![-*0-9])\S.*")
    assert after_blank.findall(text) == [], "put it between ```bash and ```"


def exit_codes() -> set[int]:
    """Return every exit code in the code of the commands and processes."""
    codes = {0}
    waiting: list[type[StoreUptimeError]] = [StoreUptimeError]
    while waiting:
        kind = waiting.pop()
        codes.add(kind.exit_code)
        waiting += kind.__subclasses__()
    for module in [*(ROOT / "stream_app").rglob("*.py"), *(ROOT / "api").rglob("*.py")]:
        text = module.read_text(encoding="utf-8")
        constants = dict(re.findall(r"^([A-Z_]+): Final = (\d+)$", text, flags=re.M))
        for ended in re.findall(r"(?:sys\.exit|os\._exit|SystemExit)\((.*)\)", text):
            named = [constants[name] for name in re.findall("[A-Z_]+", ended) if name in constants]
            codes |= {int(code) for code in [*named, *re.findall(r"\b\d+\b", ended)]}
    return codes


def test_every_exit_code_is_explained() -> None:
    page = (ROOT / "docs/how-to/troubleshooting.md").read_text(encoding="utf-8")
    section = page.split("## Exit codes")[1].split("\n## ")[0]
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", section, flags=re.M)}
    assert exit_codes() >= {0, 1, 2, 3, 4, 130}
    assert explained == exit_codes()


def test_every_explained_notice_is_one_of_the_page() -> None:
    page = (ROOT / "docs/how-to/troubleshooting.md").read_text(encoding="utf-8")
    section = page.split("## Notices of the page")[1].split("\n## ")[0]
    notices = re.findall(r"^\| ([A-Z][^|]*?) \|", section, flags=re.M)
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "api/web").glob("*.js"))
    # the text after a colon differs each time
    assert [each for each in notices if each.partition(":")[0] not in scripts] == []
    parts = set(re.findall(r'return \["\w+", [^\]]*?[`"]([A-Z][a-z ]+)', scripts))
    assert parts
    assert [each for each in parts if each.strip() not in section] == []


def test_pictures_are_small_and_of_both_colours() -> None:
    """`make screenshots` takes the pictures."""
    pictures = {path.stem: path.stat().st_size for path in (ROOT / "docs/pictures").glob("*.png")}
    names = {name.rpartition("-")[0] for name in pictures}
    assert names == {"fleet", "store", "report", "public", "phone"}
    assert set(pictures) == {f"{name}-{scheme}" for name in names for scheme in ("light", "dark")}
    assert max(pictures.values()) < 250_000
    assert sum(pictures.values()) < 1_500_000
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in pictures if f"pictures/{name}.png" not in shown] == []


def test_home_has_every_page() -> None:
    named = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    home = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert len(named) > 25
    assert [page for page in named if f"({page})" not in home and page != "index.md"] == []


@dataclass(frozen=True)
class Docs:
    """A folder like a checkout, in which the documentation can be built as `make docs` does."""

    folder: Path

    def built(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "--no-print-directory", "docs"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )


def docs_in(folder: Path) -> Docs:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("the site's tools are not there: make docs")
    make_checkout(folder, "mkdocs.yml", "examples", "benchmarks", "README.md")
    shutil.copytree(ROOT / "docs", folder / "docs")
    (folder / ".venv/.set-up-docs").touch()
    return Docs(folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    docs = docs_in(tmp_path_factory.mktemp("checkout"))
    built = docs.built()
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines()[-1] == "site/index.html"
    return docs.folder / "site"


@pytest.mark.parametrize(
    ("additions", "complaints"),
    [
        (
            ["[gone](gone.md)", "[gone](tutorial.md#gone)", "![gone](pictures/gone.png)"],
            # lost.md is a page without a link to it
            ["gone.md", "#gone", "gone.png", "lost.md"],
        ),
        (['--8<-- "examples/gone.py"'], ["gone.py"]),
    ],
)
def test_a_warning_makes_the_build_fail(
    tmp_path: Path, additions: list[str], complaints: list[str]
) -> None:
    docs = docs_in(tmp_path)
    with (docs.folder / "docs/index.md").open("a") as page:
        page.write("\n".join(["", *additions]))
    (docs.folder / "docs/how-to/lost.md").write_text("# Lost\n")
    built = docs.built()
    assert built.returncode != 0
    assert [each for each in complaints if each not in built.stderr] == []
    assert "INFO" not in built.stderr


class _Names(HTMLParser):
    """The addresses to which a page refers, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.refers_to: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)
            elif value and (name in {"href", "src", "srcset"}) and not re.match(r"[a-z]+:", value):
                self.refers_to.append(value)


def names_of(page: Path) -> _Names:
    names = _Names()
    names.feed(page.read_text(encoding="utf-8"))
    return names


def test_every_picture_and_link_of_the_site_exists(site: Path) -> None:
    pages = {page: names_of(page) for page in site.rglob("*.html")}
    missing = []
    for page, names in pages.items():
        if page.name == "404.html":
            continue  # its addresses begin at the root of the host that serves it
        for named in names.refers_to:
            path, _, anchor = named.partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].anchors if target in pages else set()
            if not target.is_file() or (anchor and target in pages and anchor not in known):
                missing.append(f"{page.relative_to(site)}: {named}")
    assert missing == []
    pictures = sum(len(re.findall("<img", page.read_text(encoding="utf-8"))) for page in pages)
    assert pictures > 0


BEGINS_WITH_A_COMMAND = re.compile(
    r"<p>\s*(?:\$ |\.venv/|store-uptime |make |curl |export |docker |kafka-|python3? |pip |cat )"
)


def test_no_command_of_the_site_is_prose_and_all_markdown_is_rendered(site: Path) -> None:
    problems = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        prose = re.sub(r"<(code|pre)\b.*?</\1>", "", text, flags=re.S)
        problems += [
            f"{page.relative_to(site)}: {each}"
            for each in (
                *BEGINS_WITH_A_COMMAND.findall(text),
                # an include that was not followed
                *re.findall(r"-- ?8 ?(?:<|&lt;)", re.sub("<[^>]+>", "", text)),
                # a fence, a link or a table that Markdown did not recognize
                *re.findall(r"^.*(?:```|\]\(|^\|).*$", re.sub("<[^>]+>", "", prose), flags=re.M),
                # a name without a description
                *re.findall(r"<strong>[^<]+</strong>:\s*(?:</p>|</li>)", text),
                *re.findall(r"<strong>[^<]+:</strong>\s*(?:</p>|</li>)", text),
            )
        ]
    assert problems == []


def test_every_field_of_every_record_is_described(site: Path) -> None:
    """Each field has a row with name, type and meaning in the table of its record."""
    page = (site / "reference/topics.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r'<h3 id="([a-z0-9]+)".*?(<tbody>.*?</tbody>)', page, flags=re.S))
    schemas = asyncapi(Settings.from_environment({}, kafka_bootstrap="x:1"))["components"]
    for name, schema in schemas["schemas"].items():
        rows = re.findall(r"<tr>\s*(.*?)\s*</tr>", sections[name.lower()], flags=re.S)
        cells = [
            [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall("<td>.*?</td>", row, re.S)]
            for row in rows
        ]
        assert [row[0] for row in cells] == list(schema["properties"]), name
        assert [row for row in cells if not all(row) or row[2] == "Optional."] == [], name


def test_topic_settings_are_readable(site: Path) -> None:
    page = (site / "reference/topics.html").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", "", page)
    assert "7 days" in shown
    assert "compact, delete" in shown
    assert "604800000" not in shown
    assert "[&#39;" not in shown


def test_the_site_asks_no_other_host(site: Path) -> None:
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"?(https?:)?//"
        r"|<link[^>]+rel=\"?(?:stylesheet|preconnect|icon)\"?[^>]+href=\"?(https?:)?//"
        r"|<link[^>]+href=\"?(https?:)?//[^>]+rel=\"?(?:stylesheet|preconnect|icon)"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert [page.name for page in pages if loads.search(page.read_text(encoding="utf-8"))] == []


def test_the_reference_is_complete(site: Path) -> None:
    def text(name: str) -> str:
        page = (site / "reference" / f"{name}.html").read_text(encoding="utf-8")
        return re.sub(r"<[^>]+>", "", page)

    settings, topics, http, shown = (text(n) for n in ("settings", "topics", "http", "commands"))
    assert [line.variable for line in defaults() if line.variable not in settings] == []
    assert [topic.name for topic in ALL_TOPICS if topic.name not in topics] == []
    paths = openapi(create_app(FakeGateway()), RESOURCES)["paths"]
    assert [path for path in paths if path not in http] == []
    names = cli.list_commands(click.Context(cli))
    assert [name for name in names if f"store-uptime {name}" not in shown] == []
