"""PostgreSQL doing the worker's job: a row for each poll, a report that checks every minute."""
