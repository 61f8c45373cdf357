"""The AsyncAPI document: every topic as it is created, and the shape of its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.openapi.json_schema import Schemas
from api.openapi.openapi import TITLE
from stream_app.contracts.topic_records import RECORD_MODELS
from stream_app.contracts.topics import ALL_TOPICS, CONSUMED_TOPICS
from stream_app.version import __version__

if TYPE_CHECKING:
    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

_TEXT: Final = """\
The records that this service reads from Kafka and writes to it.

Any client may write the records that this service receives, with any partitioner. A reader of the
records that it sends should ignore fields that it does not know: a later version may add some.
"""

_NUMBERS: Final = ("retention.ms", "max.message.bytes")
"""The settings of a topic that the document has as numbers."""

_BINDING: Final = "0.5.0"
"""The version of AsyncAPI's Kafka bindings."""


def asyncapi(settings: Settings) -> dict[str, Any]:
    """Return the document of a deployment with these settings."""
    schemas = Schemas("#/components/schemas/")
    messages: dict[str, Any] = {}
    channels: dict[str, Any] = {}
    for topic in ALL_TOPICS:
        own = _messages(topic, schemas)
        messages |= own
        channels[topic.name] = {
            "address": topic.name,
            "description": f"Key: {topic.key}. Value: {topic.value}.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in own},
            "bindings": {"kafka": _topic_binding(topic, settings)},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": TITLE,
            "version": __version__,
            "description": _TEXT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            topic.name: {
                "action": "receive" if topic in CONSUMED_TOPICS else "send",
                "channel": {"$ref": f"#/channels/{topic.name}"},
            }
            for topic in ALL_TOPICS
        },
        "components": {"messages": messages, "schemas": _draft_7(schemas.definitions)},
    }


def _messages(topic: TopicSpec, schemas: Schemas) -> dict[str, Any]:
    records = RECORD_MODELS[topic.name]
    if not records.values:
        return {}
    binding = {
        "key": _draft_7({**schemas.of(records.key), "description": topic.key}),
        "bindingVersion": _BINDING,
    }
    common: dict[str, Any] = {"bindings": {"kafka": binding}}
    if records.headers:
        headers = {name: _draft_7(schemas.of(model)) for name, model in records.headers.items()}
        common["headers"] = {"type": "object", "properties": headers}
    own = {value.__name__: {"payload": schemas.of(value), **common} for value in records.values}
    for name, schema in records.binary.items():
        own[name] = {"contentType": "application/octet-stream", "payload": dict(schema), **common}
    return own


def _topic_binding(topic: TopicSpec, settings: Settings) -> dict[str, Any]:
    configs = topic.configs(settings)
    return {
        "topic": topic.name,
        "partitions": topic.partitions(settings),
        "replicas": settings.replication,
        "topicConfiguration": {
            "cleanup.policy": configs["cleanup.policy"].split(","),
            **{name: int(configs[name]) for name in _NUMBERS if name in configs},
        },
        "bindingVersion": _BINDING,
    }


def _draft_7(schema: Any) -> Any:
    """Convert a schema to the draft of JSON schema that AsyncAPI takes: tuples become `items`."""
    if isinstance(schema, list):
        return [_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        "items" if name == "prefixItems" else name: _draft_7(each) for name, each in schema.items()
    }
