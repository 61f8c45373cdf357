"""Reads CSV files and sends their rows to Kafka: `store-uptime replay`."""
