"""Calls of AWS services, checked against the services' models."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.actions.service_api import (
    find_iam_prefix,
    find_operation_errors,
    find_output_shape,
    to_api_name,
    to_method_name,
)


def errors(service: str, operation: str, **parameters: Any) -> list[str]:
    return list(find_operation_errors(service, operation, parameters))


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "found"),
    [
        ("sqs", "SendMessage", {"QueueUrl": "q", "MessageBody": "m"}, []),
        (
            "sqss",
            "SendMessage",
            {},
            ["'service': there is no AWS service 'sqss' (did you mean 'sqs'?)"],
        ),
        (
            "sqs",
            "SendMesage",
            {},
            ["'operation': sqs has no operation 'SendMesage' (did you mean 'SendMessage'?)"],
        ),
        (
            "sts",
            "AssumeRole",
            {},
            [
                (
                    "'operation': AssumeRole returns credentials, which steps do not need:"
                    " use 'role', or call it in your own function"
                )
            ],
        ),
        ("sqs", "SendMessage", {"QueueUrl": "q"}, ["'parameters' needs 'MessageBody'"]),
        (
            "sqs",
            "SendMessage",
            {"QueueUrl": "q", "MessageBody": 5, "DelaySeconds": True},
            [
                "'parameters.MessageBody' must be text, not 5",
                "'parameters.DelaySeconds' must be a whole number, not True",
            ],
        ),
        (
            "glue",
            "StartCrawler",
            {"Nmae": "a", "Name": "b"},
            ["'parameters' has no 'Nmae' (did you mean 'Name'?)"],
        ),
    ],
)
def test_mistakes(
    service: str, operation: str, parameters: dict[str, Any], found: list[str]
) -> None:
    assert errors(service, operation, **parameters) == found


def test_names_of_the_api_of_boto3_and_of_iam() -> None:
    assert to_api_name("sqs", "send_message") == "SendMessage"
    assert to_api_name("sqs", "SendMessage") == "SendMessage"
    assert to_api_name("sqs", "no_such_thing") == "no_such_thing"
    assert to_api_name("nothing", "send_message") == "send_message"
    assert to_method_name("ListBuckets") == "list_buckets"
    assert find_iam_prefix("cloudwatch") == "monitoring"
    assert find_iam_prefix("nothing") == "nothing"


def test_the_shape_of_an_output_is_known_or_none() -> None:
    assert "MessageId" in find_output_shape("sqs", "SendMessage").members
    assert find_output_shape("sqs", "NoSuch") is None
    assert find_output_shape("nothing", "SendMessage") is None
