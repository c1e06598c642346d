"""Names of the log groups and log streams of Glue jobs (AWS Glue developer guide, logging)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.launch.runtime import Runtime

_GROUP_PREFIX = "--custom-logGroup-prefix"
_STREAM_PREFIX = "--custom-logStream-prefix"


def name_log_group(runtime: Runtime, arguments: Mapping[str, str], default: str = "") -> str:
    """Returns the log group without ``/output`` or ``/error``; ``default`` is the run's own."""
    custom = arguments.get(_GROUP_PREFIX, "") if runtime.has_log_prefixes else ""
    return custom.rstrip("/") or default or runtime.log_group


def name_log_stream(runtime: Runtime, arguments: Mapping[str, str], run_id: str) -> str:
    """Returns the log stream of the script's own output."""
    if not runtime.has_log_prefixes:
        return run_id
    return f"{find_stream_prefix(runtime, arguments) or run_id}-driver"


def find_stream_prefix(runtime: Runtime, arguments: Mapping[str, str]) -> str:
    """Returns the custom beginning of the streams' names, or ""; Spark has it from Glue 5.0 on."""
    return arguments.get(_STREAM_PREFIX, "") if runtime.has_log_prefixes else ""
