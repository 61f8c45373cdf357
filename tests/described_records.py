"""Compares the values of records with the messages of the AsyncAPI document."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft7Validator, FormatChecker


class DescribedRecords:
    """The messages of the document, which finds the message that describes a record's value."""

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
        """Return the names of all messages."""
        return {name for messages in self._validators.values() for name in messages}

    def message(self, topic: str, value: bytes) -> str:
        """Return the name of the only message of a topic that describes a value."""
        matches = self.matching(topic, value)
        assert len(matches) == 1, (topic, value[:500], matches)
        return matches[0]

    def matching(self, topic: str, value: bytes) -> list[str]:
        """Return the messages that describe a value; each byte is a character if it is no JSON."""
        try:
            content = json.loads(value)
        except ValueError:
            content = value.decode("latin-1")
        validators = self._validators[topic].items()
        return [name for name, validator in validators if validator.is_valid(content)]
