"""The actions: one file each; this is their list."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rolerunner.actions.aws_call import AwsCall
from rolerunner.actions.base import Action
from rolerunner.actions.python_call import PythonCall
from rolerunner.actions.s3_copy import S3Copy
from rolerunner.actions.s3_delete import S3Delete
from rolerunner.actions.s3_download import S3Download
from rolerunner.actions.s3_list import S3List
from rolerunner.actions.s3_read import S3Read
from rolerunner.actions.s3_upload import S3Upload
from rolerunner.actions.s3_wait import S3Wait
from rolerunner.actions.s3_write import S3Write
from rolerunner.actions.spark_sql import SparkSql
from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BUILT_IN: tuple[type[Action], ...] = (S3List, S3Download, S3Upload, S3Copy, S3Delete, S3Wait, S3Read, S3Write, AwsCall, PythonCall, SparkSql)
GROUP = "rolerunner.actions"
"""The entry-point group in which other packages offer actions: each entry names a subclass of Action."""


@lru_cache(maxsize=1)
def registry() -> Mapping[str, type[Action]]:
    """Name, as ``action:`` says it -> action; those of other packages too. Raises UsageError for a package that is broken."""
    found: dict[str, type[Action]] = {action.kind: action for action in _BUILT_IN}
    for entry in _entries():
        action = _loaded(entry)
        if action.kind in found:
            raise UsageError(f"{_origin(entry)}: the action '{action.kind}' is there already")
        found[action.kind] = action
    return MappingProxyType(found)


def _entries() -> Iterator[Any]:
    entries: Any = metadata.entry_points()
    yield from entries.select(group=GROUP) if hasattr(entries, "select") else entries.get(GROUP, ())  # a dict on Python 3.9


def _loaded(entry: Any) -> type[Action]:
    try:
        action = entry.load()
    except Exception as error:
        raise UsageError(f"{_origin(entry)}: cannot be loaded: {type(error).__name__}: {error}") from error
    if not (isinstance(action, type) and issubclass(action, Action) and isinstance(getattr(action, "kind", None), str)):
        raise UsageError(f"{_origin(entry)}: is not a subclass of rolerunner.plugin.Action with a 'kind'")
    return action


def _origin(entry: Any) -> str:
    package = getattr(getattr(entry, "dist", None), "name", "") or "an installed package"
    return f"the action plugin '{entry.name} = {entry.value}' of {package}"
