"""The stream processor of the store uptime service."""
