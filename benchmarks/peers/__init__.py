"""Other ways to do the worker's job, each as its users would build and tune it."""
