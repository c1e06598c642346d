"""The JSON Schema of the embedded metric format, as AWS publishes it.

CloudWatch user guide, "Specification: Embedded metric format", "EMF schema".
"""

from __future__ import annotations

from typing import Any

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
