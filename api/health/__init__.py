"""Health and metrics of this process by HTTP."""
