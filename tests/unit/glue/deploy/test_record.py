"""The record of a deployment, as it is stored and read again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner._version import __version__
from rolerunner.glue.deploy.record import DeploymentRecord
from rolerunner.glue.deploy.rules import Rule

RULE = Rule("rolerunner-x", "tells", {"source": ["aws.glue"]}, {"Id": "it", "Arn": "arn:x"})
PLAIN = DeploymentRecord("0f", "2026-01-31T00:00:00Z", "arn:me", {"Role": "r"}, {"team": "a"})


def store(record: DeploymentRecord) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(record.as_json())
    return fields


def test_a_record_is_read_as_it_was_stored() -> None:
    full = DeploymentRecord("0f", "t", "arn:me", {}, {}, (RULE,), {"Name": "nightly"})
    for record in (PLAIN, full):
        assert DeploymentRecord.from_json(store(record)) == record


def test_a_record_has_only_what_there_is() -> None:
    fields = store(PLAIN)
    assert (fields["version"], fields["rolerunner"]) == (1, __version__)
    assert "rules" not in fields
    assert "trigger" not in fields


def test_a_record_that_lacks_a_field() -> None:
    with pytest.raises(KeyError):
        DeploymentRecord.from_json({"hash": "0f"})
