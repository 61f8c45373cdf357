"""Pathway doing the worker's job."""
