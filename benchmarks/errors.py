"""Errors of a measurement.

BenchmarkError
└── NotRunError
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """A measurement that failed; the message is one line."""


class NotRunError(BenchmarkError):
    """A measurement is impossible here; the message says what to install or to do."""
