"""Recomputes a report from the topics by another method and compares the results."""
