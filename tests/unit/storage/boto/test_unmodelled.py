"""Conditions that the model of an operation lacks go as signed headers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.storage.boto import unmodelled
from rolerunner.storage.boto.unmodelled import send_unmodelled_conditions
from tests import memory_aws as aws
from tests.unit.storage.engines import make_client


@pytest.mark.parametrize(
    ("known", "params", "left", "headers"),
    [
        ({"IfMatch", "IfNoneMatch"}, {"IfMatch": "e"}, {"IfMatch": "e"}, {}),
        (set(), {"IfMatch": "e", "Key": "k"}, {"Key": "k"}, {"If-Match": "e"}),
        (
            {"IfMatch"},
            {"IfMatch": "e", "IfNoneMatch": "*"},
            {"IfMatch": "e"},
            {"If-None-Match": "*"},
        ),
        (set(), {"Key": "k"}, {"Key": "k"}, {}),
    ],
)
def test_what_a_model_lacks_is_moved(
    known: set[str], params: dict[str, Any], left: dict[str, Any], headers: dict[str, str]
) -> None:
    context: dict[str, Any] = {}
    model = SimpleNamespace(input_shape=SimpleNamespace(members=known))
    unmodelled._take_unmodelled(params, model, context)
    assert params == left
    request: dict[str, Any] = {"headers": {"Host": "h"}}
    unmodelled._add_headers(request, context)
    assert request["headers"] == {"Host": "h", **headers}


def test_a_client_sends_a_condition_that_its_model_lacks(memory_aws: aws.Store) -> None:
    client = make_client()
    for _ in range(2):
        send_unmodelled_conditions(client)
    members = client.meta.service_model.operation_model("PutObject").input_shape.members
    assert members.pop("IfNoneMatch")
    client.put_object(Bucket="bucket", Key="key", Body=b"x", IfNoneMatch="*")
    (sent,) = memory_aws.requests_of("PUT")
    assert sent.headers["if-none-match"] == "*"
    assert "if-none-match" in sent.headers["authorization"]
