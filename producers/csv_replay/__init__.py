"""CSV files into Kafka: `store-uptime replay`."""
