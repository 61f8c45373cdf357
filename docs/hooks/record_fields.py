"""Tables of the fields of records, from their JSON schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFERENCE = "#/components/schemas/"
_NAMES = {"integer": "integer", "number": "number", "boolean": "`true` or `false`", "null": "null"}
_FORMATS = {"uuid": "UUID", "date-time": "time, ISO 8601", "date": "date, ISO 8601"}


def shape_section(name: str, schemas: dict[str, Any], level: int) -> Iterator[str]:
    """A heading, what the shape is, and a row for each of its fields."""
    schema = schemas[name]
    yield ""
    yield f"{'#' * level} {name}"
    yield ""
    yield " ".join(schema.get("description", "").split())
    if "properties" not in schema:
        # its values are bytes
        return
    yield ""
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    required = schema.get("required", [])
    for field, shape in schema["properties"].items():
        optional = "" if field in required else "Optional. "
        meaning = optional + " ".join(shape.get("description", "").split())
        yield f"| `{field}` | {_cell(type_words(shape))} | {_cell(meaning)} |"


def referred(schema: Any) -> set[str]:
    """Names of the shapes that a schema refers to."""
    if isinstance(schema, list):
        return set().union(*(referred(each) for each in schema))
    if not isinstance(schema, dict):
        return set()
    names = set().union(*(referred(each) for each in schema.values()))
    if "$ref" in schema:
        names.add(schema["$ref"].removeprefix(_REFERENCE))
    return names


def with_their_parts(names: set[str], schemas: dict[str, Any]) -> set[str]:
    """Shapes, and all that they are made of."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= referred(schemas[name]) - found
    return found


def type_words(schema: dict[str, Any]) -> str:
    """A type in words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(type_words(each) for each in schema["anyOf"])
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " or ".join(_literal(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return _list_words(schema.get("items", {}))
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"object of {type_words(inner)}" if isinstance(inner, dict) else "object"
    if schema.get("type") == "string":
        return _FORMATS.get(schema.get("format", ""), "text")
    return _NAMES[schema["type"]]


def _list_words(items: Any) -> str:
    if isinstance(items, list):
        return f"\\[{', '.join(type_words(each) for each in items)}\\]"
    return f"list of {type_words(items)}" if items else "list"


def _literal(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
