"""Quix Streams doing the worker's job."""
