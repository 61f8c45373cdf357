"""What the worker does when a topic turns out to be another one."""

from __future__ import annotations

import pytest

from stream_app.contracts.topics import CONSUMED_TOPICS, DEAD_LETTERS, STORE_STATUS
from stream_app.errors import TopicReplacedError
from stream_app.worker.app import end_on_replaced
from tests.agent_fakes import Failures, FakeAppliedOffsets


def test_the_first_id_of_a_topic_is_that_of_the_watermarks() -> None:
    progress, failures = FakeAppliedOffsets(), Failures()
    end_on_replaced(progress.set_topic_id, failures)(STORE_STATUS.name, "first", None)
    assert progress.topic_ids == {STORE_STATUS.name: "first"}
    assert failures.errors == []


@pytest.mark.parametrize("spec", CONSUMED_TOPICS, ids=lambda spec: spec.name)
def test_a_topic_made_anew_ends_the_worker_that_reads_the_old_one(spec: object) -> None:
    """Its watermarks must not be taken for those of the new topic until it has ended."""
    progress, failures = FakeAppliedOffsets(), Failures()
    name = getattr(spec, "name", "")
    end_on_replaced(progress.set_topic_id, failures)(name, "second", "first")
    assert progress.topic_ids == {}
    (error,) = failures.errors
    assert isinstance(error, TopicReplacedError)
    assert name in str(error)


def test_a_topic_that_it_does_not_read_may_be_another_one() -> None:
    progress, failures = FakeAppliedOffsets(), Failures()
    end_on_replaced(progress.set_topic_id, failures)(DEAD_LETTERS.name, "second", "first")
    assert failures.errors == []
