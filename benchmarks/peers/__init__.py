"""Other systems that do the worker's job, each built and tuned as its users would do it."""
