"""Stores by HTTP: business hours, timezones, removal, the list, and queries about one store."""
