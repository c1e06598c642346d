"""A local stand-in for the ``awsglue`` package that AWS Glue provides to Spark jobs.

It is written from AWS's public documentation and runs on a plain pyspark. ``awsglue.local`` holds
what exists here only: the error of everything that needs Glue itself, and the record of jobs.
"""

from awsglue._installation import check_installation

check_installation()
