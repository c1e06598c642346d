"""Signing receipts: an example of a function for python.call that is given a secret."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import date

    from rolerunner.plugin import FunctionContext


def sign(context: FunctionContext, partner: str, day: date, files: int, key: str) -> dict[str, Any]:
    """Returns a receipt with its HMAC, so that the partner can verify who wrote it."""
    receipt: dict[str, Any] = {"partner": partner, "date": day.isoformat(), "files": files}
    text = json.dumps(receipt, sort_keys=True).encode()
    receipt["hmac"] = hmac.new(key.encode(), text, hashlib.sha256).hexdigest()
    context.log(f"signed a receipt for {partner}", files=files)
    return {"receipt": receipt}
