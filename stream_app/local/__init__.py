"""Everything that runs the product on one machine: a Kafka broker, child processes, the stack."""
