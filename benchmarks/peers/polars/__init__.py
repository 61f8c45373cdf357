"""polars computing the report of all stores from CSV files."""
