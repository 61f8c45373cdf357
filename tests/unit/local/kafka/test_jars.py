from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from stream_app.errors import PrerequisiteError
from stream_app.local.kafka import jars

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Maven = Callable[..., Callable[[], int]]


async def test_the_second_fetch_needs_no_maven(tmp_path: Path, maven: Maven) -> None:
    calls = maven()
    folder = await jars.fetch_jars(tmp_path / "cache")
    assert {path.name for path in folder.glob("*.jar")} == {"a.jar", "b.jar"}

    (tmp_path / "bin" / "mvn").unlink()
    assert await jars.fetch_jars(tmp_path / "cache") == folder
    assert calls() == 1


async def test_two_fetches_at_once_run_maven_once(tmp_path: Path, maven: Maven) -> None:
    calls = maven()
    first, second = await asyncio.gather(
        jars.fetch_jars(tmp_path / "cache"), jars.fetch_jars(tmp_path / "cache")
    )
    assert first == second
    assert calls() == 1


async def test_a_failed_fetch_leaves_nothing_that_looks_complete(
    tmp_path: Path, maven: Maven
) -> None:
    maven(fail=True)
    with pytest.raises(PrerequisiteError) as failure:
        await jars.fetch_jars(tmp_path / "cache")

    assert str(failure.value) == (
        f"Maven cannot fetch Kafka {jars.KAFKA_VERSION}: "
        "Cannot resolve kafka_2.13: Network is unreachable"
    )
    assert jars.cached_jars(tmp_path / "cache") is None
    left = [path.name for path in (tmp_path / "cache").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []

    maven()
    assert (await jars.fetch_jars(tmp_path / "cache") / "b.jar").exists()


async def test_a_cache_with_a_jar_removed_is_fetched_again(tmp_path: Path, maven: Maven) -> None:
    calls = maven()
    folder = await jars.fetch_jars(tmp_path / "cache")
    (folder / "a.jar").unlink()
    assert jars.cached_jars(tmp_path / "cache") is None
    await jars.fetch_jars(tmp_path / "cache")
    assert (folder / "a.jar").exists()
    assert calls() == 2


@pytest.mark.usefixtures("programs")
async def test_without_maven_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match=r"apt install maven.*brew install maven"):
        await jars.fetch_jars(tmp_path / "cache")


@pytest.mark.parametrize("spoil", ["changed", "cut short", "further"])
async def test_a_jar_with_a_wrong_checksum_is_named_and_all_jars_are_fetched_again(
    spoil: str, tmp_path: Path, maven: Maven
) -> None:
    calls = maven()
    cache = tmp_path / "cache"
    folder = await jars.fetch_jars(cache)
    name = "c.jar" if spoil == "further" else "a.jar"
    (folder / name).write_bytes(b"rubbish!" if spoil != "cut short" else b"PK")
    assert jars.cached_jars(cache) is None
    lines: list[str] = []
    assert await jars.fetch_jars(cache, report=lines.append) == folder
    wrong = "does not belong there" if spoil == "further" else "is not the jar that Apache"
    assert f"{folder / name} {wrong}" in lines[0]
    assert jars.cached_jars(cache) == folder
    assert sorted(path.name for path in folder.iterdir()) == ["a.jar", "b.jar"]
    assert calls() == 2


async def test_a_wrong_jar_in_mavens_cache_is_fetched_without_the_cache(
    tmp_path: Path, maven: Maven
) -> None:
    calls = maven(wrong=1)
    assert await jars.fetch_jars(tmp_path / "cache") == jars.cached_jars(tmp_path / "cache")
    assert calls() == 2
    first, second = (tmp_path / "maven-calls").read_text().splitlines()
    assert "-Dmaven.repo.local=" not in first
    assert "-Dmaven.repo.local=" in second


async def test_a_jar_that_stays_wrong_is_refused_and_not_stored(
    tmp_path: Path, maven: Maven
) -> None:
    maven(wrong=2)
    with pytest.raises(PrerequisiteError) as refusal:
        await jars.fetch_jars(tmp_path / "cache")
    assert str(refusal.value).startswith("a.jar is not the jar that Apache published, as Maven")
    assert "settings.xml" in str(refusal.value)
    left = [path.name for path in (tmp_path / "cache").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []


@pytest.mark.parametrize(
    ("set_of_jars", "prefix"), [(jars.KAFKA, "kafka_2.13-"), (jars.TOOLS, "kafka-tools-")]
)
def test_the_list_of_checksums_is_of_this_version(set_of_jars: jars.JarSet, prefix: str) -> None:
    expected = set_of_jars.expected()
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in expected.values())
    assert f"{prefix}{jars.KAFKA_VERSION}.jar" in expected
    pom = set_of_jars.pom.read_text()
    assert set(re.findall(r"<artifactId>kafka[^<]*</artifactId>\s*<version>([^<]*)", pom)) == {
        jars.KAFKA_VERSION
    }


def test_the_commands_have_all_jars_of_the_broker() -> None:
    assert jars.KAFKA.expected().items() <= jars.TOOLS.expected().items()


def test_the_pom_has_the_version_that_names_the_cache() -> None:
    pom = jars.KAFKA.pom.read_text()
    assert re.search(
        rf"<artifactId>kafka_2.13</artifactId>\s*<version>{jars.KAFKA_VERSION}</version>", pom
    )
    assert pom.count("<version>") == 4, "every dependency and the plugin are pinned"
