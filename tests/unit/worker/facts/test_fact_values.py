"""Values of facts have a revision; those that an earlier version wrote have none."""

from __future__ import annotations

import pytest

from stream_app.contracts.business_hours import encode_rows
from stream_app.contracts.revisions import Revision
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    TIMEZONE_TAG,
    decode_fact,
    encode_fact,
    store_key,
    why_stray,
)
from tests.agent_fakes import store_in

STORE = store_key(store_in(0))
REVISION = Revision(7, 1_700_000_000_000, (3, 12))


@pytest.mark.parametrize("revision", [REVISION, Revision(0, -1)])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xff", "\x00Zürich".encode()])
def test_a_fact_and_its_revision_read_back(revision: Revision, content: bytes) -> None:
    assert decode_fact(encode_fact(revision, content)) == (revision, content)


@pytest.mark.parametrize("value", [None, b"", b"[]", b'[[0,"09:00","17:00"]]', b"Europe/Paris"])
def test_a_fact_of_an_earlier_version_has_no_revision(value: bytes | None) -> None:
    assert decode_fact(value) == (None, value)


@pytest.mark.parametrize(
    ("tag", "content"), [(HOURS_TAG, encode_rows([(0, "09:00", "17:00")])), (TIMEZONE_TAG, b"UTC")]
)
def test_a_fact_is_no_stray_record(tag: bytes, content: bytes) -> None:
    """Neither its revision nor the lack of one makes it stray."""
    assert why_stray(STORE + tag, encode_fact(REVISION, content)) is None
    assert why_stray(STORE + tag, content) is None


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (HOURS_TAG, encode_fact(REVISION, b"nonsense")),
        (HOURS_TAG, encode_fact(REVISION, b"[1]")),
        (TIMEZONE_TAG, encode_fact(REVISION, b"\xff")),
        (TIMEZONE_TAG, encode_fact(REVISION, b"")[:-1]),
        (HOURS_TAG, b"\xff"),
    ],
)
def test_a_value_that_cannot_be_read_is_stray(tag: bytes, value: bytes) -> None:
    assert why_stray(STORE + tag, value) is not None
