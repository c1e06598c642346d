"""Sends parameters of S3 that are younger than the installed botocore.

botocore refuses a parameter that its model of an operation does not have. Conditional writes came
to S3 after the boto3 of Glue's older runtimes: PutObject takes IfNoneMatch from botocore 1.35 on,
DeleteObject takes IfMatch from 1.35 on, CopyObject takes both from 1.40 on. S3 honours the headers
whoever sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONDITION_HEADERS: Mapping[str, str] = {"IfMatch": "If-Match", "IfNoneMatch": "If-None-Match"}
_OPERATIONS = ("PutObject", "CompleteMultipartUpload", "CopyObject", "DeleteObject")
_CONTEXT_KEY = "rolerunner_unmodelled_headers"


def send_unmodelled_conditions(client: Any) -> None:
    """Makes an S3 client send conditions that its model lacks as headers, which are signed too."""
    # botocore registers the same function under the same id once
    for operation in _OPERATIONS:
        client.meta.events.register_first(
            f"before-parameter-build.s3.{operation}",
            _take_unmodelled,
            unique_id=f"rolerunner-take-unmodelled-{operation}",
        )
        client.meta.events.register_last(
            f"before-call.s3.{operation}",
            _add_headers,
            unique_id=f"rolerunner-add-unmodelled-{operation}",
        )


def _take_unmodelled(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    known = model.input_shape.members
    headers = {
        header: params.pop(name)
        for name, header in CONDITION_HEADERS.items()
        if name in params and name not in known
    }
    if headers:
        context[_CONTEXT_KEY] = headers


def _add_headers(params: dict[str, Any], context: Mapping[str, Any], **_: Any) -> None:
    params["headers"].update(context.get(_CONTEXT_KEY, {}))
