"""A fake of the record that aiokafka's consumer returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class FakeRecord:
    """A record of a consumer; `timestamp` in ms.

    A record that is made later has a higher offset, unless a test gives one.
    """

    topic: str
    value: bytes | None
    timestamp: int = 0
    offset: int = field(default_factory=count().__next__)
    partition: int = 0
    headers: Sequence[tuple[str, bytes]] = ()
    key: bytes | None = None
    timestamp_type: int = 1
