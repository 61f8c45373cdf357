"""UUIDs of stores and reports: the accepted forms, and the canonical form.

A UUID is accepted with its dashes or without them, in upper or lower case and with spaces around
it. Braces and `urn:uuid:` are not accepted. The canonical form, in which this product writes every
UUID, has dashes and lower case.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

_HEX: Final = "[0-9a-fA-F]"
UUID_PREFIX: Final = (
    f"({_HEX}{{1,7}}|{_HEX}{{8}}(-?({_HEX}{{0,3}}|{_HEX}{{4}}(-?({_HEX}{{0,3}}|{_HEX}{{4}}"
    f"(-?({_HEX}{{0,3}}|{_HEX}{{4}}-?{_HEX}{{0,12}})))))))"
)
"""A regular expression of the first characters of a UUID, with its dashes or without."""

_UUID_PREFIX: Final = re.compile(UUID_PREFIX)
_UUID: Final = re.compile(f"{_HEX}{{8}}(?:-?{_HEX}{{4}}){{3}}-?{_HEX}{{12}}")
CANONICAL: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""A regular expression of a UUID in the canonical form."""
_CANONICAL: Final = re.compile(CANONICAL)
_DIGITS_BEFORE_DASHES: Final = (8, 12, 16, 20)


def is_canonical(text: str) -> bool:
    """Return True for a UUID in the canonical form."""
    return _CANONICAL.fullmatch(text) is not None


def canonical_uuid(text: str) -> str | None:
    """Return the canonical form of a UUID; None if the text is no UUID."""
    if _CANONICAL.fullmatch(text):
        return text
    trimmed = text.strip()
    return str(UUID(trimmed)) if _UUID.fullmatch(trimmed) else None


def canonical_prefix(text: str) -> str | None:
    """Return the first characters of a UUID in the canonical form.

    Returns:
        the prefix without a dash at its end; None if no UUID begins with the text.
    """
    trimmed = text.strip().lower()
    if not _UUID_PREFIX.fullmatch(trimmed):
        return None
    digits = trimmed.replace("-", "")
    ends = (*_DIGITS_BEFORE_DASHES, len(digits))
    groups = [digits[start:end] for start, end in zip((0, *ends), ends, strict=False)]
    return "-".join(group for group in groups if group)
