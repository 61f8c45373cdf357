"""What the worker does with each record: one module an agent, thin over the domain."""
