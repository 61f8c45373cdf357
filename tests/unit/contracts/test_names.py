"""One prefix stands before every name of a deployment, wherever the name is used."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stream_app
from stream_app.contracts.names import prefixed
from stream_app.contracts.topics import ALL_TOPICS, APP_ID, WEBHOOKS_GROUP
from stream_app.errors import SettingsError
from stream_app.kafka.clients import connection
from stream_app.setting_variables import PREFIX
from stream_app.settings import Settings

ROOT = Path(stream_app.__file__).parents[1]
HYPHENATED = {spec.name for spec in ALL_TOPICS if "-" in spec.name} | {WEBHOOKS_GROUP}

SEEN = """
import importlib, json, pkgutil, sys
import api, producers, stream_app
for package in (stream_app, api, producers):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)

def texts(value, depth=0):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from texts(key)
            yield from texts(each, depth + 1) if depth < 3 else ()
    elif isinstance(value, (list, tuple, set, frozenset)) and depth < 3:
        for each in value:
            yield from texts(each, depth + 1)

from api.openapi.asyncapi import asyncapi
from stream_app.contracts import topics
from stream_app.settings import Settings

found = {
    f"{name}.{key}": sorted(set(texts(value)))
    for name, module in list(sys.modules.items())
    if name.split(".")[0] in ("stream_app", "api", "producers")
    for key, value in vars(module).items()
    if not key.startswith("__")
}
document = asyncapi(Settings.from_environment({"STORE_UPTIME_KAFKA_PREFIX": topics.prefixed("")}))
print(json.dumps({
    "topics": [spec.name for spec in topics.ALL_TOPICS],
    "groups": [topics.APP_ID, topics.WEBHOOKS_GROUP],
    "addresses": [channel["address"] for channel in document["channels"].values()],
    "constants": found,
}))
"""


def seen_with(prefix: str) -> dict[str, list[str]]:
    completed = subprocess.run(
        [sys.executable, "-c", SEEN],
        env=os.environ | {f"{PREFIX}KAFKA_PREFIX": prefix},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, list[str]] = json.loads(completed.stdout)
    return answer


def test_without_a_prefix_the_names_are_those_of_the_contract() -> None:
    assert prefixed("store-status") == "store-status"
    assert (APP_ID, WEBHOOKS_GROUP) == ("store-uptime", "store-uptime-webhooks")
    assert ALL_TOPICS[-1].name == "store-uptime-facts-changelog"


def test_a_prefix_stands_before_every_name() -> None:
    seen = seen_with("red.")
    assert seen["topics"] == [f"red.{spec.name}" for spec in ALL_TOPICS]
    assert seen["groups"] == ["red.store-uptime", "red.store-uptime-webhooks"]
    assert seen["addresses"] == seen["topics"]
    constants: dict[str, list[str]] = seen["constants"]  # type: ignore[assignment]
    bare = {where for where, texts in constants.items() if HYPHENATED & set(texts)}
    # the command has the name of the topic
    assert bare <= {"stream_app.cli.main._COMMANDS"}


@pytest.mark.parametrize("package", ["stream_app", "api", "producers"])
def test_no_module_writes_a_name_of_its_own(package: str) -> None:
    """A name that is written outside `topics.py` would not get the prefix."""
    # a command and an asyncio task have the names of these topics
    names = HYPHENATED - {"dead-letters", "latest-polls"}
    bare = [
        f"{path}:{node.lineno}: {node.value}"
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.relative_to(ROOT) != Path("stream_app/contracts/topics.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert bare == []


def test_a_client_of_another_prefix_than_the_process_is_refused() -> None:
    settings = Settings.from_environment({f"{PREFIX}KAFKA_PREFIX": "blue-"})
    with pytest.raises(SettingsError, match="was '' when this process started and cannot be 'blue"):
        connection(settings)
