"""Rows in PostgreSQL, and the report that walks over every minute."""
