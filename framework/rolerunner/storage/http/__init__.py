"""HTTP over sockets of our own: connections, framing, signatures, and the parsing of S3's responses."""
