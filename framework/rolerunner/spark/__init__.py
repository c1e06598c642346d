"""Runs distributed tasks and SQL queries on Spark. The only importer of pyspark."""
