"""Checks events of lineage by OpenLineage's own model, which is generated from its JSON Schema.

No package of PyPI, npm or Maven Central has the schema itself. The formats of its texts, which the
model does not check, are checked here.
"""

from __future__ import annotations

import typing
import uuid
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import attr
from openlineage.client.generated import (
    base,
    error_message_run,
    job_dependencies_run,
    parent_run,
    tags_run,
)

_FACETS: dict[str, type] = {
    "jobDependencies": job_dependencies_run.JobDependenciesRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "parent": parent_run.ParentRunFacet,
    "tags": tags_run.TagsRunFacet,
}
_OWN = {"_producer", "_schemaURL", "_deleted"}


def check_run_event(event: dict[str, Any]) -> None:
    """Fails unless an event has all keys of a RunEvent, no other ones, and values of their types.

    Facets that OpenLineage defines are checked in the same way; others have a producer and a URL.
    """
    _check_object(base.RunEvent, event, "event")
    base.EventType(event["eventType"])
    assert event["schemaURL"].endswith("#/$defs/RunEvent")
    assert datetime.fromisoformat(event["eventTime"].replace("Z", "+00:00")).tzinfo is not None
    uuid.UUID(event["run"]["runId"])
    _check_urls(event["producer"], event["schemaURL"])
    for holder in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for name, facet in (holder.get("facets") or {}).items():
            _check_urls(facet["_producer"], facet["_schemaURL"])
            if name in _FACETS:
                _check_object(_FACETS[name], facet, name)


def _check_urls(*values: str) -> None:
    for each in values:
        parts = urlsplit(each)
        assert parts.scheme == "https", each
        assert parts.netloc, each


def _check_object(model: type, value: Any, where: str) -> None:
    assert isinstance(value, dict), where
    hints = typing.get_type_hints(model)
    fields = {each.name: each for each in attr.fields(model)}
    assert set(value) - _OWN <= set(fields), where
    for name, each in fields.items():
        if name in value:
            _check_value(hints.get(name, Any), value[name], f"{where}.{name}")
        else:
            assert each.default is not attr.NOTHING, f"{where}.{name} is missing"


def _check_value(hint: Any, value: Any, where: str) -> None:
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    if value is None:
        assert type(None) in options, where
        return
    (option,) = (each for each in options if each is not type(None))
    if attr.has(option):
        _check_object(option, value, where)
    elif typing.get_origin(option) is list:
        assert isinstance(value, list), where
        for number, each in enumerate(value):
            _check_value(typing.get_args(option)[0], each, f"{where}[{number}]")
    elif option in (str, bool, int, float):
        assert isinstance(value, option), where


def _is_union(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)
