"""Simulates stores that send pings: `store-uptime simulate`."""
