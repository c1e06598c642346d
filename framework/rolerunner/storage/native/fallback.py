"""Falls back to boto3 for requests that the native client does not support.

This module is the only one that handles UnsupportedRequest. It logs each reason once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from rolerunner.storage.http.tasks import Task, run_blocking
from rolerunner.storage.native.templates import UnsupportedRequest

T = TypeVar("T")
_LOG = logging.getLogger("rolerunner.storage")
_LOGGED: set[str] = set()


def run_or_fall_back(task: Task[T], fallback: Callable[[], T]) -> Task[T]:
    """Runs a task of the event loop; calls ``fallback`` in a thread if it is not supported."""
    try:
        return (yield from task)
    except UnsupportedRequest as reason:
        _log_once(reason)
    return (yield from run_blocking(fallback))


def call_or_fall_back(call: Callable[[], T], fallback: Callable[[], T]) -> T:
    """Returns what ``call`` returns, or ``fallback`` if it is not supported."""
    try:
        return call()
    except UnsupportedRequest as reason:
        _log_once(reason)
    return fallback()


def iterate_or_fall_back(items: Iterator[T], fallback: Callable[[], Iterator[T]]) -> Iterator[T]:
    """Yields items, or those of ``fallback`` if the first one is not supported."""
    try:
        yield from items
        return
    except UnsupportedRequest as reason:
        _log_once(reason)
    yield from fallback()


def _log_once(error: UnsupportedRequest) -> None:
    reason = str(error)
    if reason not in _LOGGED:
        _LOGGED.add(reason)
        _LOG.warning("boto3 sends these requests instead of the fast engine: %s", reason)
