"""The embedded metric format: the JSON Schema of AWS, and the rules that its specification adds.

Amazon CloudWatch User Guide, "Specification: Embedded metric format"
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html),
"Embedded metric format example and JSON schema". ``$id`` and ``examples`` are left out.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema

EMF_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Root Node",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "title": "Metadata",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "title": "The Timestamp Schema"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "title": "MetricDirectives",
                    "items": {
                        "type": "object",
                        "title": "MetricDirective",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {
                                "type": "string",
                                "title": "CloudWatch Metrics Namespace",
                                "pattern": "^(.*)$",
                                "minLength": 1,
                                "maxLength": 1024,
                            },
                            "Dimensions": {
                                "type": "array",
                                "title": "The Dimensions Schema",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "title": "DimensionSet",
                                    "minItems": 0,
                                    "maxItems": 30,
                                    "items": {
                                        "type": "string",
                                        "title": "DimensionReference",
                                        "pattern": "^(.*)$",
                                        "minLength": 1,
                                        "maxLength": 250,
                                    },
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "title": "MetricDefinitions",
                                "items": {
                                    "type": "object",
                                    "title": "MetricDefinition",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": {
                                            "type": "string",
                                            "title": "MetricName",
                                            "pattern": "^(.*)$",
                                            "minLength": 1,
                                            "maxLength": 1024,
                                        },
                                        "Unit": {
                                            "type": "string",
                                            "title": "MetricUnit",
                                            "pattern": "^(Seconds|Microseconds|Milliseconds|Bytes|"
                                            "Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|"
                                            "Megabits|Gigabits|Terabits|Percent|Count|"
                                            "Bytes\\/Second|Kilobytes\\/Second|Megabytes\\/Second|"
                                            "Gigabytes\\/Second|Terabytes\\/Second|Bits\\/Second|"
                                            "Kilobits\\/Second|Megabits\\/Second|Gigabits\\/Second|"
                                            "Terabits\\/Second|Count\\/Second|None)$",
                                        },
                                        "StorageResolution": {
                                            "type": "integer",
                                            "title": "StorageResolution",
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}

MAX_EVENT, MAX_METRICS, MAX_VALUES, MAX_DIMENSION_VALUE = 1 << 20, 100, 100, 1024


def read_emf_line(line: str) -> dict[str, Any]:
    """Returns a line that is a valid document of the embedded metric format. Fails for others."""
    assert len(line.encode()) <= MAX_EVENT
    document: dict[str, Any] = json.loads(line)
    jsonschema.validate(document, EMF_SCHEMA)
    for directive in document["_aws"]["CloudWatchMetrics"]:
        assert len(directive["Metrics"]) <= MAX_METRICS
        for metric in directive["Metrics"]:
            target = document[metric["Name"]]
            values = target if isinstance(target, list) else [target]
            assert len(values) <= MAX_VALUES
            assert all(type(value) in (int, float) for value in values), metric
        for name in {name for names in directive["Dimensions"] for name in names}:
            assert isinstance(document[name], str), name
            assert 0 < len(document[name]) <= MAX_DIMENSION_VALUE
    return document
