"""The lane: S3 requests over the standard library's sockets, signed here, many at once."""
