"""Tests where the jobs of each runtime log."""

from __future__ import annotations

import pytest

from rolerunner.glue.launch.log_streams import (
    find_stream_prefix,
    name_log_group,
    name_log_stream,
)
from rolerunner.glue.launch.runtime import RUNTIMES

CUSTOM = {"--custom-logGroup-prefix": "/teams/orders/", "--custom-logStream-prefix": "mine"}


@pytest.mark.parametrize(
    ("runtime", "group", "stream"),
    [
        ("pythonshell", "/aws-glue/python-jobs", "jr_1"),
        ("glue-4.0", "/aws-glue/jobs", "jr_1"),
        ("glue-5.1", "/teams/orders", "mine-driver"),
        ("glue-6.0", "/teams/orders", "mine-driver"),
    ],
)
def test_arguments_rename_the_logs_of_spark_from_glue_5_on(
    runtime: str, group: str, stream: str
) -> None:
    found = RUNTIMES[runtime]
    assert name_log_group(found, CUSTOM) == group
    assert name_log_stream(found, CUSTOM, "jr_1") == stream
    assert find_stream_prefix(found, CUSTOM) == ("mine" if stream.startswith("mine") else "")


def test_without_them_the_group_is_the_runs_own_and_the_stream_has_its_id() -> None:
    runtime = RUNTIMES["glue-5.1"]
    assert name_log_group(runtime, {}) == "/aws-glue/jobs"
    assert name_log_group(runtime, {}, "/aws-glue/jobs-secure") == "/aws-glue/jobs-secure"
    assert name_log_stream(runtime, {}, "jr_1") == "jr_1-driver"
