"""The reference pages of the site, written from the code each time the site is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from mkdocs.structure.files import File

from api.app import create_app
from api.description.asyncapi import asyncapi
from api.description.openapi import openapi
from api.gateway import Gateway
from stream_app.cli.main import cli
from stream_app.settings import Settings, defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages: dict[str, Callable[[], Iterator[str]]] = {
        "http": _http,
        "topics": _topics,
        "settings": _settings,
        "commands": _commands,
    }
    for name, lines in pages.items():
        content = "\n".join(lines()) + "\n"
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


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
    document = openapi(create_app(Gateway(_default_settings(), lambda: 0)))
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
                yield f"| {status} | {_cell(answer['description'])} | {bodies} |"


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
    document = asyncapi(_default_settings())
    yield "# Topics"
    yield ""
    yield "`/asyncapi.json` of a running API has every field of every record."
    for name, channel in document["channels"].items():
        yield ""
        yield f"## {name}"
        yield ""
        yield channel.get("description", "")
        kafka = channel.get("bindings", {}).get("kafka", {})
        settings = {
            key: value for key, value in kafka.items() if key not in {"topic", "bindingVersion"}
        }
        configuration = settings.pop("topicConfiguration", {})
        yield ""
        yield "| setting | default |"
        yield "|---|---|"
        for key, value in {**settings, **configuration}.items():
            yield f"| {key} | `{value}` |"
        for key in channel.get("messages", {}):
            message = document["components"]["messages"][key]
            yield ""
            yield f"**{key}**: {message.get('summary') or message.get('description') or ''}"


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
