"""JSON schemas of types."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from api.openapi.field_docs import field_docs

_KEY: Final = "shape"


class _Generator(GenerateJsonSchema):
    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema, with the meaning of each field that says it in a docstring."""
        described = super().typed_dict_schema(schema)
        docs = field_docs(schema["cls"])
        for name, field in described.get("properties", {}).items():
            if name in docs:
                field["description"] = docs[name]
        return described

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  pydantic's own hook
        """Return False, since a title would only repeat the name of the field."""
        return False


class Schemas:
    """The schemas of one document.

    Attributes:
        definitions: the schemas of all named types so far, by name.

    Args:
        location: the path of these schemas in the document, as a reference begins.
    """

    def __init__(self, location: str) -> None:
        self.definitions: dict[str, Any] = {}
        self._reference_template = location + "{model}"

    def of(self, shape: Any) -> dict[str, Any]:
        """Return the schema of a type; for a type with a name, a reference to its schema."""
        schemas, rest = TypeAdapter.json_schemas(
            [(_KEY, "validation", TypeAdapter(shape))],
            ref_template=self._reference_template,
            schema_generator=_Generator,
        )
        for name, schema in rest.get("$defs", {}).items():
            if self.definitions.setdefault(name, schema) != schema:
                raise ValueError(f"two types have the name {name}")
        return schemas[_KEY, "validation"]
