"""Records held against the AsyncAPI document."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft7Validator, FormatChecker


class DescribedRecords:
    """Says which message of a topic a record's value is."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._validators = {
            channel["address"]: {
                name: Draft7Validator(
                    {
                        **document["components"]["messages"][name]["payload"],
                        "components": document["components"],
                    },
                    format_checker=FormatChecker(),
                )
                for name in channel["messages"]
            }
            for channel in document["channels"].values()
        }

    def messages(self) -> set[str]:
        """All there are."""
        return {name for messages in self._validators.values() for name in messages}

    def message(self, topic: str, value: bytes) -> str:
        """The one message that a value is."""
        found = self.matching(topic, value)
        assert len(found) == 1, (topic, value[:500], found)
        return found[0]

    def matching(self, topic: str, value: bytes) -> list[str]:
        """The messages that a value may be; of one that is not JSON each byte is a character."""
        try:
            content = json.loads(value)
        except ValueError:
            content = value.decode("latin-1")
        validators = self._validators[topic].items()
        return [name for name, validator in validators if validator.is_valid(content)]
