"""Reads files that list objects: text, CSV, JSON lines, Parquet, S3 Inventory."""
