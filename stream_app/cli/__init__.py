"""The `store-uptime` command."""
