"""The check of metrics refuses what AWS's schema and its specification refuse."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.emf_schema import read_emf_line


def write_line(directive: dict[str, Any], timestamp: Any = 1795827555342, **more: Any) -> str:
    whole = {"Namespace": "n", "Dimensions": [["job"]], "Metrics": [{"Name": "Seconds"}]}
    known = {key: each for key, each in {**whole, **directive}.items() if each is not None}
    metadata = {"Timestamp": timestamp, "CloudWatchMetrics": [known]}
    return json.dumps({"job": "j", "Seconds": 1.5, **more, "_aws": metadata})


def test_a_right_line_is_read() -> None:
    metric = {"Name": "Seconds", "Unit": "Bytes/Second", "StorageResolution": 60}
    assert read_emf_line(write_line({}))["job"] == "j"
    assert read_emf_line(write_line({"Dimensions": [[]], "Metrics": [metric]}, Seconds=[1, 2]))


@pytest.mark.parametrize(
    ("directive", "more"),
    [
        ({"Namespace": None}, {}),
        ({"Namespace": ""}, {}),
        ({"Namespace": "n" * 1025}, {}),
        ({"Dimensions": []}, {}),
        ({"Dimensions": ["job"]}, {}),
        ({"Dimensions": [["job"] * 31]}, {}),
        ({"Dimensions": [["d" * 251]]}, {"d" * 251: "x"}),
        ({"Dimensions": [["missing"]]}, {}),
        ({"Metrics": [{}]}, {}),
        ({"Metrics": [{"Name": "Seconds", "Unit": "seconds"}]}, {}),
        ({"Metrics": [{"Name": "Seconds", "StorageResolution": 5}]}, {}),
        ({"Metrics": [{"Name": "Seconds"}] * 101}, {}),
        ({"Metrics": [{"Name": "missing"}]}, {}),
        ({}, {"timestamp": "2026-01-31"}),
        ({}, {"timestamp": 1795827555}),
        ({}, {"Seconds": "1.5"}),
        ({}, {"Seconds": True}),
        ({}, {"Seconds": float("nan")}),
        ({}, {"Seconds": [1] * 101}),
        ({}, {"job": 1}),
        ({}, {"job": "j" * 1025}),
        ({}, {"padding": "x" * (1 << 20)}),
    ],
)
def test_a_wrong_line_is_refused(directive: dict[str, Any], more: dict[str, Any]) -> None:
    with pytest.raises((jsonschema.ValidationError, AssertionError, KeyError)):
        read_emf_line(write_line(directive, **more))
