"""S3 as the actions see it, and local files."""
