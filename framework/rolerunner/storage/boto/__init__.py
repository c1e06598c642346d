"""The plain engine: S3 by boto3, in threads."""
