"""The prefix of every name that this product has in Kafka.

Topics, consumer groups and transactional ids are named here and in `topics.py`, and nowhere else.
A process serves one deployment from its first line to its last, so its names are constants: they
are known from its environment before any module uses one. If the prefix came from the settings,
every place that uses a topic, some hundred of them, would need to get its name from its caller.
"""

from __future__ import annotations

import os
from typing import Final

from stream_app.settings import KAFKA_PREFIX

NAME_PREFIX: Final = os.environ.get(KAFKA_PREFIX, "")
"""The setting `kafka_prefix`; if it is empty, the names are as the documentation has them."""


def prefixed(name: str) -> str:
    """Return the full name in Kafka, of a topic or a group as the documentation calls it."""
    return NAME_PREFIX + name
