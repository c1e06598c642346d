"""Spark: the workers of calls that are spread, and the queries of SQL steps. The only importer of pyspark."""
