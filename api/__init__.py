"""The HTTP facade of the store uptime service."""
