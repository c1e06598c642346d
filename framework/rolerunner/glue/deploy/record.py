"""The record of a deployment, which the next one and a rollback read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rolerunner._version import __version__
from rolerunner.glue.deploy.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class DeploymentRecord:
    """The record of a deployment, stored beside the artifacts."""

    hash: str
    time: str
    by: str
    job: Mapping[str, Any]
    tags: Mapping[str, str]
    rules: tuple[Rule, ...] = ()
    trigger: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of CreateTrigger; empty without a trigger, as in records of earlier releases."""

    def as_json(self) -> bytes:
        """Returns the record as it is stored."""
        record_fields = {
            "version": 1,
            "hash": self.hash,
            "time": self.time,
            "by": self.by,
            "rolerunner": __version__,
            "job": self.job,
            "tags": self.tags,
            **({"rules": [rule.as_json() for rule in self.rules]} if self.rules else {}),
            **({"trigger": self.trigger} if self.trigger else {}),
        }
        return (json.dumps(record_fields, indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> DeploymentRecord:
        """Parses a record. Raises KeyError, TypeError, ValueError or AttributeError."""
        return cls(
            fields["hash"],
            fields["time"],
            fields["by"],
            fields["job"],
            fields["tags"],
            tuple(map(Rule.from_json, fields.get("rules", ()))),
            fields.get("trigger") or {},
        )
