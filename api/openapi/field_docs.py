"""Reads the docstrings below the fields of a type, also those of the types it extends."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from typing import Any

from typing_extensions import get_original_bases


@cache
def field_docs(shape: type[Any]) -> dict[str, str]:
    """Return the meaning of each field that has a docstring, by the field's name.

    A TypedDict does not hand the docstrings of its fields down, and neither does pydantic.
    """
    docs: dict[str, str] = {}
    for base in get_original_bases(shape):
        if isinstance(base, type) and hasattr(base, "__total__"):
            docs |= field_docs(base)
    return docs | _own_docs(shape)


def _own_docs(shape: type[Any]) -> dict[str, str]:
    try:
        source = inspect.getsource(shape)
    except OSError:
        # made by a call, without a class statement
        return {}
    (node,) = ast.parse(textwrap.dedent(source)).body
    if not isinstance(node, ast.ClassDef):
        return {}
    docs = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            docs[field.target.id] = inspect.cleandoc(after.value.value)
    return docs
