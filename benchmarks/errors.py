"""What ends a measurement.

BenchmarkError
└── NotRunError
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """A measurement that failed; the message is one line."""


class NotRunError(BenchmarkError):
    """Something that cannot be measured here; the message says what to install or to do."""
