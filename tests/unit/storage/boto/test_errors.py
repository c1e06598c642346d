"""Errors of botocore in the words of a step."""

from __future__ import annotations

import pytest
from botocore import exceptions

from rolerunner.errors import IntegrityFailed, ServiceFailed, StepError, UnexpectedResponse
from rolerunner.model import S3Uri
from rolerunner.storage.boto import errors

URI = S3Uri("bucket", "key")


@pytest.mark.parametrize(
    ("error", "kind", "has_hint"),
    [
        (
            exceptions.EndpointConnectionError(endpoint_url="http://x"),
            "EndpointConnectionError",
            True,
        ),
        (exceptions.ConnectTimeoutError(endpoint_url="http://x"), "ConnectTimeoutError", True),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), "ReadTimeoutError", False),
        (exceptions.NoCredentialsError(), "NoCredentialsError", False),
    ],
)
def test_errors_without_a_response(
    error: exceptions.BotoCoreError, kind: str, has_hint: bool
) -> None:
    translated = errors.translate_botocore_error(error, URI)
    assert type(translated) is ServiceFailed
    assert translated.type == kind
    assert str(translated) == f"s3://bucket/key: {error}"
    assert translated.hint.startswith("the endpoint does not respond; check") is has_hint


def test_a_checksum_that_botocore_verified_is_a_damaged_transfer() -> None:
    class FlexibleChecksumError(exceptions.BotoCoreError):  # type: ignore[misc]  # untyped
        fmt = "wrong sum"

    translated = errors.translate_botocore_error(FlexibleChecksumError(), URI)
    assert type(translated) is IntegrityFailed
    assert str(translated) == "s3://bucket/key: wrong sum"


def test_errors_of_conditions_and_contents() -> None:
    there = errors.make_target_exists_error(URI)
    assert (type(there), there.type) == (StepError, "AlreadyThere")
    assert str(there) == "s3://bucket/key: already exists, or is not the expected object"
    refused = errors.make_if_match_error(URI, "e1")
    assert (type(refused), refused.type) == (ServiceFailed, "IfMatchRefused")
    assert "the ETag is unchanged: 'e1'" in str(refused)
    assert "does not support If-Match" in refused.hint
    damaged = errors.make_checksum_error(URI, "CRC32:x")
    assert type(damaged) is IntegrityFailed
    assert str(damaged).endswith("the received bytes are not CRC32:x")
    unparsable = errors.make_parse_error(URI, "no XML")
    assert (type(unparsable), unparsable.type) == (UnexpectedResponse, "InternalError")
    assert "a proxy" in unparsable.hint
    assert str(unparsable) == "s3://bucket/key: cannot parse the response: no XML"


def test_value_errors_of_parsers_are_failures_of_the_service() -> None:
    with pytest.raises(ServiceFailed) as caught, errors.translate_value_errors("get_object"):
        raise ValueError("bad date")
    assert str(caught.value) == "cannot parse the response to get_object: bad date"
    assert caught.value.type == "InternalError"
    with pytest.raises(KeyError), errors.translate_value_errors("get_object"):
        raise KeyError("other")
    with errors.translate_value_errors("get_object"):
        pass
