"""What the product costs: measured on the real product, on a real Kafka, over several runs.

`make bench` runs all lines; `python -m benchmarks --list` shows them.
"""
