"""Simulated stores that send pings: `store-uptime simulate`."""
