"""Keeps botocore from printing secrets and tracebacks, and a warning that nobody can act on."""

from __future__ import annotations

import logging
import warnings

_SECRET_LOGGERS = ("botocore.parsers", "botocore.endpoint", "botocore.auth")
"""Loggers that print keys, tokens and signed headers at DEBUG, in every botocore since 1.24."""
_RENEWING_LOGGERS = ("botocore.credentials", "botocore.tokens")
"""Loggers that print a traceback with each renewal that fails."""


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
    for name in _RENEWING_LOGGERS:
        logging.getLogger(name).addFilter(_shorten_failure)  # once, however often it is added


def _shorten_failure(record: logging.LogRecord) -> bool:
    """Replaces a traceback by one line, without what a credential_process wrote.

    A failed mandatory renewal is left out: it is raised too, and is the refusal of the job's role.
    """
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, Exception):
        return True
    from rolerunner.sessions.role_errors import describe_source_error  # noqa: PLC0415 - botocore

    record.msg = f"{record.getMessage()} {describe_source_error(error)}"
    record.args, record.exc_info = (), None
    return "mandatory" not in record.msg.lower()
