"""Measures the costs of the product on a real Kafka, in several runs.

`make bench` runs all lines; `python -m benchmarks --list` shows them.
"""
