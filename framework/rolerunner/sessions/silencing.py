"""Keeps botocore from printing secrets, and a warning that nobody can act on."""

from __future__ import annotations

import logging
import warnings

_SECRET_LOGGERS = ("botocore.parsers", "botocore.endpoint", "botocore.auth")
"""Loggers that print keys, tokens and signed headers at DEBUG, in every botocore since 1.24."""


def silence_botocore() -> None:
    """Limits botocore's loggers, also those of clients that a user's own code creates.

    botocore itself may be imported later.
    """
    # Glue Python Shell stays on Python 3.9
    warnings.filterwarnings("ignore", message="Boto3 will no longer support Python")
    for name in _SECRET_LOGGERS:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.INFO or logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
