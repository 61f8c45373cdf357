"""The API's side of Kafka: one connection, bounded sending, notifications, a bounded shutdown."""
