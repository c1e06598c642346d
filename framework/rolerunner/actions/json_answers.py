"""Responses of AWS services as plain JSON."""

import base64
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from rolerunner.errors import StepError

MAX_BODY = 1 << 20
"""Bytes of a streamed answer that are read: a larger one belongs in s3.download or python.call."""


def to_plain_json(value: Any) -> Any:
    """An answer in plain JSON kinds: moments in ISO 8601, bytes in base64, streams read."""
    if isinstance(value, Mapping):
        return {
            str(key): to_plain_json(each)
            for key, each in value.items()
            if key != "ResponseMetadata"
        }
    if isinstance(value, (list, tuple)):
        return [to_plain_json(each) for each in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, bytes):
        return _decode_text(value)
    if hasattr(value, "read"):
        data = value.read(MAX_BODY + 1)
        value.close()
        if len(data) > MAX_BODY:
            raise StepError(
                f"the body of the response has more than {MAX_BODY:,} bytes",
                hint="use s3.download or python.call",
                type="TooLarge",
            )
        return _decode_text(data)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _decode_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()
