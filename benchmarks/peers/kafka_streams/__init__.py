"""Kafka Streams doing the worker's job."""
