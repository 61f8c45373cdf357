"""A worker removes databases of another Kafka cluster before Faust starts, and keeps its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.errors import PrerequisiteError
from stream_app.worker.main import discard_other_cluster, member_id

if TYPE_CHECKING:
    from pathlib import Path


def test_databases_of_the_same_cluster_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "workers" / "worker-1"
    discard_other_cluster(folder, "one")
    (folder / "facts" / "0").mkdir(parents=True)

    discard_other_cluster(folder, "one")

    assert (folder / "facts" / "0").exists()


def test_databases_of_another_cluster_are_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    discard_other_cluster(tmp_path / "worker-1", "one")
    (tmp_path / "worker-1" / "facts" / "0").mkdir(parents=True)
    (tmp_path / "worker-2").mkdir()

    discard_other_cluster(tmp_path / "worker-1", "another")

    assert not (tmp_path / "worker-1" / "facts").exists()
    assert (tmp_path / "worker-2").exists()
    assert "of another Kafka cluster" in caplog.text
    caplog.clear()
    discard_other_cluster(tmp_path / "worker-1", "another")
    assert caplog.text == ""


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "workers").write_text("this is a file and no folder")

    for prepare in (lambda folder: discard_other_cluster(folder, "one"), member_id):
        with pytest.raises(PrerequisiteError, match=r"cannot write .*/workers/worker-1"):
            prepare(tmp_path / "workers" / "worker-1")


def test_a_worker_keeps_its_name_in_the_group_and_shares_it_with_none(tmp_path: Path) -> None:
    for name in ("worker-1", "worker-2"):
        discard_other_cluster(tmp_path / name, "one")

    first = member_id(tmp_path / "worker-1")

    assert member_id(tmp_path / "worker-1") == first
    assert member_id(tmp_path / "worker-2") != first
