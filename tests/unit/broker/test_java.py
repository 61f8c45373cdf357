from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.broker.java import Java, find_java

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("version", "found"),
    [("17.0.15", 17), ("21", 21), ("26-ea", 26), ("1.8.0_392", None), ("11.0.2", None)],
)
async def test_java_17_or_later_is_found(
    version: str, found: int | None, java: Callable[[str], Path]
) -> None:
    program = java(version)
    assert await find_java() == (Java(str(program), found) if found else None)


async def test_mavens_own_java_serves_where_the_path_has_a_stub(
    tmp_path: Path, programs: Callable[[str, str], Path]
) -> None:
    programs("java", "echo 'Unable to locate a Java Runtime' >&2; exit 1")
    home = tmp_path / "openjdk home"
    (home / "bin").mkdir(parents=True)
    program = programs("java-of-maven", "echo 'openjdk version \"21.0.1\"' >&2")
    program.rename(home / "bin" / "java")
    programs("mvn", f"echo 'Java version: 21.0.1, vendor: X, runtime: {home}'")
    assert await find_java() == Java(str(home / "bin" / "java"), 21)


async def test_java_home_goes_before_the_path(
    tmp_path: Path,
    java: Callable[[str], Path],
    programs: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    java("17.0.15")
    (tmp_path / "home" / "bin").mkdir(parents=True)
    programs("other", "echo 'openjdk version \"25\"' >&2").rename(tmp_path / "home/bin/java")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert await find_java() == Java(str(tmp_path / "home/bin/java"), 25)


@pytest.mark.usefixtures("programs")
async def test_no_java_at_all() -> None:
    assert await find_java() is None
