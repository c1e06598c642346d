"""The id of a run."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone


def create_run_id() -> str:
    """Returns the UTC start time and six random characters, so that ids sort by time."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
