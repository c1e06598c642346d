"""Tests that botocore's loggers print no secrets, before it is imported."""

from __future__ import annotations

import logging

import pytest
from botocore.exceptions import CredentialRetrievalError

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


@pytest.mark.parametrize("name", ["botocore.credentials", "botocore.tokens"])
def test_a_renewal_that_fails_is_one_line_without_the_output_of_a_process(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    Sessions(JobIdentity("eu-west-1"))
    logger = logging.getLogger(name)
    for kind in ("advisory", "mandatory"):
        try:
            raise CredentialRetrievalError(provider="custom-process", error_msg="key-of-unit-tests")
        except CredentialRetrievalError:
            logger.warning("Refreshing failed during %s refresh period.", kind, exc_info=True)
    logger.warning("a plain warning")
    shortened, other = caplog.messages
    assert shortened.endswith(
        "advisory refresh period. the credential_process of the profile failed"
    )
    assert other == "a plain warning"
    assert "Traceback" not in caplog.text
    assert "key-of-unit-tests" not in caplog.text
