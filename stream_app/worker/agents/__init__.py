"""The agents process the records of each topic: one module an agent, thin over the domain."""
