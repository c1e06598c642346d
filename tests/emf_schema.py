"""Checks lines of CloudWatch's embedded metric format.

Types and bounds are those of the JSON Schema in the Amazon CloudWatch User Guide, "Specification:
Embedded metric format"; the rules that its text adds are checked in Python. The units are those of
CloudWatch's service model.
"""

from __future__ import annotations

import json
import math
from typing import Any

import botocore.session
import jsonschema

MAX_EVENT, MAX_METRICS, MAX_VALUES, MAX_DIMENSION_VALUE = 1 << 20, 100, 100, 1024
MAX_DIMENSIONS = 30
_FIRST_MILLISECOND = 10**12
"""A time in seconds is less than this, one in milliseconds is not (since 2001)."""


def _describe_text(longest: int) -> dict[str, Any]:
    return {"type": "string", "pattern": "^(.*)$", "minLength": 1, "maxLength": longest}


def _describe_list(items: dict[str, Any], **bounds: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **bounds}


def _describe_object(*optional: str, **members: Any) -> dict[str, Any]:
    required = [name for name in members if name not in optional]
    return {"type": "object", "required": required, "properties": members}


def _list_units() -> list[str]:
    model = botocore.session.get_session().get_service_model("cloudwatch")
    return list(model.shape_for("StandardUnit").enum)


def build_emf_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a line."""
    metric = _describe_object(
        "Unit",
        "StorageResolution",
        Name=_describe_text(1024),
        Unit={"enum": _list_units()},
        StorageResolution={"type": "integer", "enum": [1, 60]},
    )
    dimensions = _describe_list(_describe_text(250), minItems=0, maxItems=MAX_DIMENSIONS)
    directive = _describe_object(
        Namespace=_describe_text(1024),
        Dimensions=_describe_list(dimensions, minItems=1),
        Metrics=_describe_list(metric, maxItems=MAX_METRICS),
    )
    metadata = _describe_object(
        Timestamp={"type": "integer"}, CloudWatchMetrics=_describe_list(directive)
    )
    return _describe_object(_aws=metadata)


_VALIDATOR = jsonschema.Draft202012Validator(build_emf_schema())


def read_emf_line(line: str) -> dict[str, Any]:
    """Returns a line that is a valid document of the embedded metric format. Fails for others."""
    assert len(line.encode()) <= MAX_EVENT
    document: dict[str, Any] = json.loads(line)
    _VALIDATOR.validate(document)
    assert document["_aws"]["Timestamp"] >= _FIRST_MILLISECOND
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for metric in directive["Metrics"]:
            target = document[metric["Name"]]
            values = target if isinstance(target, list) else [target]
            assert len(values) <= MAX_VALUES
            assert all(type(each) in (int, float) and math.isfinite(each) for each in values)
        for name in {name for names in directive["Dimensions"] for name in names}:
            assert isinstance(document[name], str), name
            assert 0 < len(document[name]) <= MAX_DIMENSION_VALUE
    return document
