"""Apache Flink doing the worker's job."""
