"""What the site has beside the pages of `docs/`.

The reference pages are written from the code each time the site is built. Pictures that stand
elsewhere in the checkout are copied, and so is the text of each page, which it links to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from mkdocs.structure.files import File
from record_fields import referred, shape_section, with_their_parts

from api.app import RESOURCES, create_app
from api.gateway import Gateway
from api.openapi.asyncapi import asyncapi
from api.openapi.openapi import openapi
from stream_app.cli.main import cli
from stream_app.contracts.topics import ALL_TOPICS
from stream_app.settings import Settings
from stream_app.settings_table import defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[2]

_COPIED = {"../benchmarks/results/growth.svg": "pictures/growth.svg"}
"""Pictures outside of `docs/`, as pages name them, and their place in the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages: dict[str, Callable[[], Iterator[str]]] = {
        "http": _http,
        "topics": _topics,
        "settings": _settings,
        "commands": _commands,
    }
    for page in list(files.documentation_pages()):
        text = File.generated(config, _source_of(page.src_uri), abs_src_path=page.abs_src_path)
        files.append(text)
    for name, lines in pages.items():
        content = "\n".join(lines()) + "\n"
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    for named, place in _COPIED.items():
        path = str(_ROOT / "docs" / named)
        files.append(File.generated(config, place, abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  mkdocs' own names
    """Name copied pictures by their place in the site, and end with where the page is written."""
    for named, place in _COPIED.items():
        markdown = markdown.replace(f"({named})", f"({place})")
    source = _source_of(page.file.src_uri)
    if files.get_file_from_path(source) is None:
        return f"{markdown}\n\n---\n\n*Made from the code by `docs/hooks/reference.py`.*\n"
    up = "../" * page.file.src_uri.count("/")
    return f"{markdown}\n\n---\n\n*Written in [docs/{page.file.src_uri}]({up}{source}).*\n"


def _source_of(uri: str) -> str:
    return f"sources/{uri}.txt"


def _default_settings() -> Settings:
    return Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9092")


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "`store-uptime settings` prints them with value and origin."
    yield ""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for line in defaults():
        yield f"| `{line.variable}` | `{line.value or '-'}` | {line.help} |"


def _http() -> Iterator[str]:
    document = openapi(create_app(Gateway(_default_settings(), lambda: 0)), RESOURCES)
    yield "# HTTP"
    yield ""
    yield document["info"]["description"]
    yield "A running API shows every field at `/docs`, and `/openapi.json` has all of it."
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield ""
            yield f"## {method.upper()} {path}".replace("{", "\\{")
            yield ""
            yield f"{operation['summary']}. {operation.get('description', '')}".rstrip()
            yield from _parameters(operation.get("parameters", []))
            yield ""
            yield "| status | when | body |"
            yield "|---|---|---|"
            for status, answer in operation["responses"].items():
                bodies = ", ".join(f"`{media}`" for media in answer.get("content", {}))
                yield f"| {status} | {_cell(answer['description'])} | {bodies or '-'} |"


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield ""
    yield "| parameter | in | meaning |"
    yield "|---|---|---|"
    for parameter in parameters:
        told = _cell(parameter.get("description", ""))
        yield f"| `{parameter['name']}` | {parameter['in']} | {told} |"


def _topics() -> Iterator[str]:
    settings = _default_settings()
    document = asyncapi(settings)
    schemas = _with_binary(document)
    yield "# Topics"
    yield ""
    yield "Values are JSON where nothing else is said. `/asyncapi.json` of a running API says the"
    yield "same to programs."
    described: set[str] = set()
    for topic in ALL_TOPICS:
        yield ""
        yield f"## {topic.name}"
        yield ""
        yield f"Key: {topic.key}. Value: {topic.value}."
        yield ""
        yield "| setting | default |"
        yield "|---|---|"
        yield f"| partitions | {topic.partitions(settings)} |"
        yield f"| copies | {settings.replication} |"
        for name, value in topic.configs(settings).items():
            yield f"| `{name}` | {_topic_setting(name, value)} |"
        own = list(document["channels"][topic.name]["messages"])
        if own:
            again = [name for name in own if name in described]
            yield ""
            yield "Records: " + ", ".join(f"[{name}](#{name.lower()})" for name in own) + "."
            for name in own:
                if name not in again:
                    yield from shape_section(name, schemas, level=3)
            described |= set(own)
        else:
            yield ""
            yield "Its records are binary, and the workers' own."
        for header, name in _headers(document, own).items():
            yield ""
            yield f"A record may have the header `{header}`: [{name}](#{name.lower()})."
    parts = with_their_parts(described | _named_by_headers(document), schemas) - described
    yield ""
    yield "## Parts of records"
    for name in sorted(parts):
        yield from shape_section(name, schemas, level=3)


def _with_binary(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas of a document by name, those of binary records among them."""
    payloads = {
        name: message["payload"] for name, message in document["components"]["messages"].items()
    }
    binary = {name: payload for name, payload in payloads.items() if "$ref" not in payload}
    return {**document["components"]["schemas"], **binary}


def _headers(document: dict[str, Any], messages: list[str]) -> dict[str, str]:
    """The shapes of the headers that the records of a topic may have, by the header's name."""
    return {
        header: name
        for message in messages
        for header, shape in document["components"]["messages"][message]
        .get("headers", {})
        .get("properties", {})
        .items()
        for name in referred(shape)
    }


def _named_by_headers(document: dict[str, Any]) -> set[str]:
    return set(_headers(document, list(document["components"]["messages"])).values())


def _topic_setting(name: str, value: str) -> str:
    """A topic's setting as a person reads it."""
    if name.endswith(".ms"):
        return "for ever" if value == "-1" else _duration(int(value))
    if name.endswith(".bytes"):
        return "no limit" if value == "-1" else f"{int(value) // 1_000_000} MB"
    return f"`{value.replace(',', ', ')}`"


def _duration(milliseconds: int) -> str:
    for length, name in ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute")):
        if milliseconds % length == 0:
            count = milliseconds // length
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{milliseconds} ms"


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield from _command(cli, ["store-uptime"])


def _command(command: click.Command, path: list[str]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    yield ""
    yield f"{'#' * min(len(path) + 1, 4)} {' '.join(path)}"
    yield ""
    yield "```text"
    yield command.get_help(context)
    yield "```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _command(found, [*path, name])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
