"""How Hypothesis runs in tests that share a busy machine with others."""

from __future__ import annotations

from hypothesis import settings

untimed = settings(deadline=None)
"""An example may take as long as it takes: what is tested is never the speed."""
