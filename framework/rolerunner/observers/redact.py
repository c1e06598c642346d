"""Secrets taken out of whatever is about to be shown: see rolerunner.redaction, which is its home."""

from rolerunner.redaction import redact as redacted

__all__ = ["redacted"]
