from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_app.errors import PrerequisiteError
from stream_app.local.processes.file_lock import is_locked, locked, locked_at_once

if TYPE_CHECKING:
    from pathlib import Path


async def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    assert not is_locked(path)
    async with locked(path, limit=0, busy="unused"):
        assert is_locked(path)
        with pytest.raises(PrerequisiteError, match="someone is here"):
            async with locked(path, limit=0, busy="someone is here"):
                pytest.fail("two holders")
    assert not is_locked(path)


def test_a_caller_that_cannot_wait_gets_the_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    with locked_at_once(path, busy="unused"):
        assert is_locked(path)
        with (
            pytest.raises(PrerequisiteError, match="someone is here"),
            locked_at_once(path, busy="someone is here"),
        ):
            pytest.fail("two holders")
    with locked_at_once(path, busy="unused"):
        assert is_locked(path)


async def test_the_next_holder_waits(tmp_path: Path) -> None:
    order: list[str] = []

    async def hold(name: str) -> None:
        async with locked(tmp_path / "lock", limit=60, busy="unused"):
            order.append(f"{name} in")
            await asyncio.sleep(0)
            order.append(f"{name} out")

    await asyncio.gather(hold("a"), hold("b"))
    assert order == ["a in", "a out", "b in", "b out"]


async def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PrerequisiteError, match="cannot create the folder"):
        async with locked(tmp_path / "file" / "lock", limit=0, busy="unused"):
            pytest.fail("a lock in a file")
