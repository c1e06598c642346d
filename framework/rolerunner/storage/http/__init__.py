"""HTTP for S3: connections, framing, signatures, and the parsing of responses."""
