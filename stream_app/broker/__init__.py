"""An Apache Kafka for those who have none: Docker, or Java with Maven."""
