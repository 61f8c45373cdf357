"""The shape of every record's value as types, from which the published schemas are made.

Encoders and decoders stand beside the records they write; what stands here is held against them
by tests. No module here has `from __future__ import annotations`: pydantic reads the annotations.
"""
