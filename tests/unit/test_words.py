"""Docstrings, comments and public names use the words of docs/glossary.md, in full sentences."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
FOLDERS = ("stream_app", "api", "producers", "benchmarks")
TESTS = "tests"

NOT_IN_TEXTS = re.compile(
    r"\b("
    r"told|taken|in hand|what it rests on|whoever|likewise|so long|buried"
    r"|time zones?|rests? on|polls? (?:backs|speaks)|high ?waters?"
    r"|(?:become|becomes|became) of"
    r"|(?:on (?:its|their)|under) way"
    r"|(?<!dead[ -])letters?(?! (?:and|or) digits)"
    r")\b",
    re.IGNORECASE,
)
"""Words that a reader has to guess the meaning of, or for which the glossary has another."""

NO_SENTENCE = re.compile(
    r"(What|Who|How|Where|Whether|Which|That|Whose|Why|When|While|If|Until|Since|Because"
    r"|Of|In|With|For|By|From|At|On|To|As|Among|Instead|Besides?|Below|Behind|After|Before"
    r"|It|Its|Their|They|Is|Are|Was|Were|Has|Have|Had|Does|And|Or|But|Than|Then|So|Also|Else)[ ,]"
)
"""A first sentence that begins so lacks its noun or its subject."""

NO_END = re.compile(r"[^.:?]$")
"""The first paragraph ends as a sentence does, or with the colon of a list."""

NO_CASE = re.compile(r"\b(None|True|False|null): [a-z]")
"""A case without a verb, such as `None: it is known`, instead of `None if it is known`."""

NO_VERB = re.compile(
    r"(?![A-Z][a-z]+[ ,:;.])"
    r"|[A-Z][a-z]*[^s]s\b"
    r"|(?:The|An?|One|Two|Three|Every|Each|All|Any|Both|Some|No|None|Many|Most|Nothing|Everything"
    r"|This|These|Those|Another|Our|My|True|False|Not|Only|Still|Text|Time|Size|Number)\b"
)
"""The docstring of a function begins with a verb in the imperative, as in `Return the polls.`"""

NOT_METHODS = {"take", "tell", "note", "keep", "hold", "begin", "finish"}
"""Verbs that have had four to ten meanings each: a method's name says what it does to what."""

NOT_VARIABLES = {"told", "asked", "kept", "found", "there", "wanted"}
"""Names that say what happened to a value, and not what it is."""

NOT_IN_NAMES = re.compile(r"(?:^|_)(told|taken|whoever|likewise|buried|in_hand|letters?)(?:_|$)")


def modules(*folders: str) -> list[str]:
    """Return the path below the root of every module of these folders."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        # peers of the benchmarks have environments of their own
        if ".venv" not in path.parts
    )


def offences(source: str) -> Iterator[str]:
    """Yield what is against the rules in a module, each with its line."""
    tree = ast.parse(source)
    yield from in_docstring(1, "the module", ast.get_docstring(tree))
    yield from in_constants(tree.body)
    for node in tree.body:
        yield from in_definition(node)
    yield from in_comments(source)
    yield from in_variables(tree)


def in_definition(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name) if not name.startswith("_"):
            yield from in_name(node.lineno, name)
            yield from in_docstring(node.lineno, name, ast.get_docstring(node))
            yield from in_constants(node.body)
            for member in node.body:
                yield from in_definition(member)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if (
            name == "__init__" or not name.startswith("_")
        ):
            yield from in_name(node.lineno, name)
            if name in NOT_METHODS | NOT_VARIABLES:
                yield f"{node.lineno}: the name {name}"
            text = ast.get_docstring(node)
            yield from in_docstring(node.lineno, name, text)
            if text is not None and not is_test(name) and NO_VERB.match(text):
                yield f"{node.lineno}: the docstring of {name} begins with no verb"
            parameters = node.args
            for argument in (*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs):
                if argument.arg in NOT_VARIABLES:
                    yield f"{node.lineno}: the parameter {argument.arg} of {name}"
                yield from in_name(node.lineno, argument.arg)
        case ast.Assign() | ast.AnnAssign():
            for name in names_of(node):
                if not name.startswith("_"):
                    yield from in_name(node.lineno, name)
                    if name in NOT_VARIABLES:
                        yield f"{node.lineno}: the name {name}"


def is_test(name: str) -> bool:
    """Check whether a function is a test, whose name is a sentence that its docstring goes on."""
    return name.startswith("test_")


def in_constants(body: list[ast.stmt]) -> Iterator[str]:
    for constant, text in pairs_of(body):
        yield from in_docstring(constant.lineno, names_of(constant)[0], text)


def in_comments(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (match := NOT_IN_TEXTS.search(token.string)):
            yield f"{token.start[0]}: a comment says {match[1]!r}"


def in_variables(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if name in NOT_VARIABLES:
                yield f"{node.lineno}: the variable {name}"
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.removeprefix(
                "_"
            ) in NOT_METHODS and name.startswith("_"):
                yield f"{node.lineno}: the name {name}"


def pairs_of(body: list[ast.stmt]) -> Iterator[tuple[ast.Assign | ast.AnnAssign, str]]:
    """Yield each constant with the string that stands below it."""
    for before, after in pairwise(body):
        match before, after:
            case (
                ast.Assign() | ast.AnnAssign() as constant,
                ast.Expr(value=ast.Constant(value=str(text))),
            ) if names_of(constant):
                yield constant, text


def names_of(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def in_name(line: int, name: str) -> Iterator[str]:
    if is_test(name):
        sentence = name.replace("_", " ")
        yield from (f"{line}: {name} says {m[1]!r}" for m in NOT_IN_TEXTS.finditer(sentence))
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    if match := NOT_IN_NAMES.search(re.sub(r"dead_letters?", "", words)):
        yield f"{line}: the name {name}: {match[1]}"


def in_docstring(line: int, name: str, text: str | None) -> Iterator[str]:
    if text is None:
        return
    if match := NO_SENTENCE.match(text):
        yield f"{line}: the docstring of {name} begins with {match[1]!r}"
    if NO_END.search(text.split("\n\n")[0].rstrip()):
        yield f"{line}: the docstring of {name} has a first paragraph without an end"
    if match := NO_CASE.search(" ".join(text.split())):
        yield f"{line}: the docstring of {name} has a case without a verb: {match[0]!r}"
    for match in NOT_IN_TEXTS.finditer(" ".join(text.split())):
        yield f"{line}: the docstring of {name} says {match[1]!r}"


def offences_in(module: str) -> list[str]:
    return [*offences((ROOT / module).read_text(encoding="utf-8"))]


def modules_of_tests() -> list[str]:
    """Return every module of the tests but this one, which names the bad words."""
    own = Path(__file__).relative_to(ROOT).as_posix()
    return [module for module in modules(TESTS) if module != own]


def glossary() -> list[list[str]]:
    """Return the words of each table of the glossary, in its order."""
    tables = GLOSSARY.read_text(encoding="utf-8").split("\n## ")[1:]
    return [re.findall(r"^\| ([a-z, ]+) \| (?!meaning)", table, re.MULTILINE) for table in tables]


@pytest.mark.parametrize("module", [*modules(*FOLDERS), *modules_of_tests()])
def test_a_module_uses_the_words_of_the_glossary(module: str) -> None:
    assert offences_in(module) == []


@pytest.mark.parametrize(
    ("source", "offence"),
    [
        ('"""What became of pings."""', "says 'became of'"),
        ('"""What became of pings."""', "begins with 'What'"),
        ('"""A letter."""', "says 'letter'"),
        ("def take(self): ...", "the name take"),
        ("def send(kept): ...", "the parameter kept of send"),
        ("class LetterLog: ...", "the name LetterLog: letter"),
        ("class Row:\n    taken: int", "the name taken: taken"),
        ('LIMIT = 3\n"""Whoever asks has so long."""', "the docstring of LIMIT says 'Whoever'"),
        ("class Row:\n    def found(self): ...", "the name found"),
        ('LIMIT = 3\n"""Of one report."""', "the docstring of LIMIT begins with 'Of'"),
        (
            'class Row:\n    at: int\n    """When it was."""',
            "the docstring of at begins with 'When'",
        ),
        ('class Row:\n    """Is locked by a run."""', "the docstring of Row begins with 'Is'"),
        ('def polls():\n    """The polls of a store."""', "polls begins with no verb"),
        ('def polls():\n    """Returns the polls."""', "polls begins with no verb"),
        ('def polls():\n    """Polls of a store."""', "polls begins with no verb"),
        ('def polls():\n    """200 polls."""', "polls begins with no verb"),
        ('"""Reads the polls"""', "the module has a first paragraph without an end"),
        ('LIMIT = 3\n"""Polls of a store; None: no limit."""', "has a case without a verb"),
        ("LIMIT = 3  # whoever asks", "a comment says 'whoever'"),
        ("def send():\n    for found in ():\n        pass", "the variable found"),
        ("class Row:\n    def _take(self): ...", "the name _take"),
        ('"""Reads the time zone of a store."""', "says 'time zone'"),
        ("def test_a_poll_is_told(): ...", "the name test_a_poll_is_told: told"),
        ("def test_the_time_zone(): ...", "test_the_time_zone says 'time zone'"),
        ('def test_polls():\n    """As it should."""', "of test_polls begins with 'As'"),
    ],
)
def test_an_offence_is_seen(source: str, offence: str) -> None:
    assert any(offence in line for line in offences(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""Reads the dead letters of the topic `dead-letters`."""',
        "class DeadLetterLog: ...",
        "class StoreNotFoundError(Exception): ...",
        'def _send(row):\n    """What is private may be short."""',
        'LIMIT = 3\n"""Bytes of a dead letter."""',
        'def polls():\n    """Process the polls: each once.\n\n    Raises:\n        No.\n    """',
        'class Row:\n    at: int\n    """The time of the row."""',
        'def test_polls():\n    """A poll is read once."""',
    ],
)
def test_good_words_pass(source: str) -> None:
    assert [*offences(source)] == []


def test_the_glossary_has_some_thirty_words_in_their_order() -> None:
    assert 30 <= sum(map(len, glossary())) <= 45
    for words in glossary():
        assert words == sorted(words)


@pytest.mark.parametrize("word", [word for words in glossary() for word in words])
def test_a_word_of_the_glossary_is_used(word: str) -> None:
    """By the code, the topics or the pages; else a reader learns it for nothing."""
    pages = [page for page in (ROOT / "docs").rglob("*.md") if page != GLOSSARY]
    texts = [
        path.read_text(encoding="utf-8")
        for path in [*map(ROOT.joinpath, modules(*FOLDERS)), *pages]
    ]
    for form in word.split(", "):
        used = re.compile(rf"\b{form.replace(' ', '[ _]?')}", re.IGNORECASE)
        assert any(used.search(text) for text in texts), form
