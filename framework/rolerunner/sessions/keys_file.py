"""A file by which processes of this machine get the job's keys, other than by their environment.

Only the user can read it. Environments and settings of Spark are shown in its interface and logs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rolerunner.common.files import write_file
from rolerunner.errors import StepError
from rolerunner.sessions.keys import Keys

if TYPE_CHECKING:
    from pathlib import Path


def write_keys(path: Path, keys: Keys) -> None:
    """Writes keys to a file that only the user can read. Raises LocalFileFailed."""
    plain = keys.to_credentials().get_frozen_credentials()
    text = json.dumps([plain.access_key, plain.secret_key, plain.token])
    write_file(path, text.encode(), private=True)


def read_keys(path: Path) -> Keys:
    """Returns the keys of a file. Raises StepError if it cannot be read."""
    try:
        return Keys(*json.loads(path.read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError) as error:
        raise StepError(
            f"the job's keys cannot be read: {getattr(error, 'strerror', None) or 'no keys'}: "
            f"{path}",
            hint="executors read them from a file of the machine that the run is on",
            type="NoCredentials",
        ) from None
