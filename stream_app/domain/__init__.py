"""What a report means: pure functions of facts, without IO, Kafka or a clock."""
