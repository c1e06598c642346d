"""The fast engine: requests from templates of botocore's, sent over `storage.http`."""
