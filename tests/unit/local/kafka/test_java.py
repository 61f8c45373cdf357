from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from stream_app.local.kafka.java import Java, NoJava, find_java

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("version", "expected"),
    [("17.0.15", 17), ("21", 21), ("26-ea", 26), ("1.8.0_392", None), ("11.0.2", None)],
)
async def test_java_17_or_later_is_found(
    version: str, expected: int | None, java: Callable[[str], Path]
) -> None:
    program = java(version)
    found_java = await find_java()
    if expected:
        assert found_java == Java(str(program), expected)
    else:
        assert isinstance(found_java, NoJava)
        assert re.search(rf"{re.escape(str(program))} is Java (8|11)$", found_java.reason)
        assert "install Java 17" in found_java.remedy


async def test_mavens_own_java_is_used_where_the_path_has_a_stub(
    tmp_path: Path, programs: Callable[[str, str], Path]
) -> None:
    programs("java", "echo 'Unable to locate a Java Runtime' >&2; exit 1")
    home = tmp_path / "openjdk home"
    (home / "bin").mkdir(parents=True)
    program = programs("java-of-maven", "echo 'openjdk version \"21.0.1\"' >&2")
    program.rename(home / "bin" / "java")
    programs("mvn", f"echo 'Java version: 21.0.1, vendor: X, runtime: {home}'")
    assert await find_java() == Java(str(home / "bin" / "java"), 21)


async def test_java_home_is_preferred_to_the_path(
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
async def test_a_missing_java_is_the_reason() -> None:
    none = await find_java()
    assert isinstance(none, NoJava)
    assert none.reason == "there is no Java 17 or later"


CODE_CACHE = """echo '[0.003s][warning][os,thread] Failed to start thread' >&2
echo 'Error occurred during initialization of VM' >&2
echo 'Could not reserve enough space for code cache (245760K)' >&2
exit 1"""

INSUFFICIENT = """echo '#' >&2
echo '# There is insufficient memory for the Java Runtime Environment to continue.' >&2
echo '# An error report file with more information is saved as:' >&2
exit 1"""


@pytest.mark.parametrize(
    ("script", "reason", "remedy"),
    [
        (
            CODE_CACHE,
            "Error occurred during initialization of VM: Could not reserve enough space for code "
            "cache (245760K)",
            "more memory",
        ),
        (
            INSUFFICIENT,
            "There is insufficient memory for the Java Runtime Environment to continue",
            "more memory",
        ),
        (
            "echo 'error while loading shared libraries: libjli.so' >&2; exit 127",
            "error while loading shared libraries: libjli.so",
            "mend that",
        ),
        ("exit 4", "it ended with 4 and said nothing", "mend that"),
    ],
)
async def test_the_reason_for_a_java_that_cannot_start_is_its_error(
    script: str, reason: str, remedy: str, programs: Callable[[str, str], Path]
) -> None:
    program = programs("java", script)
    none = await find_java()
    assert isinstance(none, NoJava)
    assert none.reason.endswith(f": {program} cannot be started: {reason}")
    assert remedy in none.remedy
    assert ("install Java" in none.remedy) == (remedy == "mend that")


async def test_a_java_without_permission_and_a_wrong_java_home_are_named(
    java: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = java("17.0.1")
    program.chmod(0o644)
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    none = await find_java()
    assert isinstance(none, NoJava)
    assert "/nowhere/bin/java cannot be started: No such file or directory" in none.reason
    assert f"{program} cannot be started: Permission denied" in none.reason
    program.chmod(0o755)
    assert await find_java() == Java(str(program), 17), "the Java on the PATH is used"
