"""Tests that botocore's loggers print no secrets, before it is imported."""

from __future__ import annotations

import logging

import pytest

from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.registry import Sessions


@pytest.mark.parametrize("name", ["botocore.parsers", "botocore.endpoint", "botocore.auth"])
@pytest.mark.parametrize(
    ("level", "expected"),
    [(logging.NOTSET, logging.INFO), (logging.DEBUG, logging.INFO), (logging.ERROR, logging.ERROR)],
)
def test_loggers_that_print_secrets_are_silent(name: str, level: int, expected: int) -> None:
    logger = logging.getLogger(name)
    before = logger.level
    try:
        logger.setLevel(level)
        Sessions(JobIdentity("eu-west-1"))
        assert logger.level == expected
    finally:
        logger.setLevel(before)
