"""The wire: every topic and every record, once."""
