"""The schema of an action that overrides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from rolerunner.spec.action_schema import ActionSchema, FieldConflictError


class Plain(ActionSchema):
    """An action with one output of a known type."""

    kind: ClassVar[str] = "test.plain"
    samples: ClassVar[Mapping[str, Any]] = {"count": 1}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("customer_key",), True),
        (("source", "customer_key"), True),
        (("source_customer_key",), True),
        (("customer_key", 0), False),
        (("customer_key_id",), False),
        (("target",), False),
    ],
)
def test_secrets_flow_into_customer_keys_alone(path: tuple[str | int, ...], expected: bool) -> None:
    assert Plain.accepts_secret(path) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [(("result", "Password"), True), (("count",), False), (("password", "count"), False)],
)
def test_an_output_with_a_telling_name_is_a_secret(path: tuple[str, ...], expected: bool) -> None:
    assert Plain.is_secret_output({}, path) is expected


def test_defaults() -> None:
    assert (Plain.sample("count", {}), Plain.sample("other", {})) == (1, None)
    assert (Plain.outputs, Plain.role_fields, Plain.needs_role) == (None, ("role",), True)
    error = FieldConflictError("both", "remove one")
    assert (str(error), error.hint, FieldConflictError("both").hint) == ("both", "remove one", "")
