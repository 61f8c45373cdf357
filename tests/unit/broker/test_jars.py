from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from stream_app.broker import jars
from stream_app.errors import PrerequisiteError

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


def test_the_pom_has_the_version_that_names_the_cache() -> None:
    pom = jars._POM.read_text()
    assert re.search(
        rf"<artifactId>kafka_2.13</artifactId>\s*<version>{jars.KAFKA_VERSION}</version>", pom
    )
    assert pom.count("<version>") == 4, "every dependency and the plugin are pinned"
