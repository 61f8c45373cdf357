"""One module a line of the table."""
