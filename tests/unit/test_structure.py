"""No modules import each other in a circle, and no constructor has more than six parameters."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grimp
import pytest

import stream_app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(stream_app.__file__).parents[1]
PACKAGES: Final = ("stream_app", "api", "producers")
MAX_PARAMETERS: Final = 6


def circle_in(imports: dict[str, set[str]]) -> list[str]:
    """Return one circle of modules that import each other, or an empty list."""
    finished: set[str] = set()
    path: list[str] = []

    def search(module: str) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in finished:
            return []
        path.append(module)
        for imported in sorted(imports.get(module, ())):
            if circle := search(imported):
                return circle
        path.pop()
        finished.add(module)
        return []

    return next((circle for module in sorted(imports) if (circle := search(module))), [])


def constructors(source: str) -> Iterator[tuple[str, int]]:
    """Yield each class with its own `__init__`, and the number of its parameters."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    parameters = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs]
                    yield node.name, len(parameters) - 1


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    # the `__init__` of a package imports nothing
    imports = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    assert circle_in(imports) == []


def test_parameters_are_counted() -> None:
    source = "class A:\n    def __init__(self, a, /, b, *, c=1): ...\nclass B: ...\n"
    assert list(constructors(source)) == [("A", 3)]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_constructor_takes_at_most_six_parameters(package: str) -> None:
    many = {
        f"{path.relative_to(ROOT)}: {name}": count
        for path in sorted((ROOT / package).rglob("*.py"))
        for name, count in constructors(path.read_text(encoding="utf-8"))
        if count > MAX_PARAMETERS
    }
    assert many == {}
