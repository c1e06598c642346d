"""The record of a completed step, and what it left: lists in the store, files on a machine."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.run.state.leftovers import find_change
from rolerunner.run.state.lists import ListDamaged, fetch_list, restore_lists

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import StepStatus
    from rolerunner.run.state.stores import StateStore


@dataclass(frozen=True)
class StepRecord:
    """The state's entry for a completed step."""

    status: StepStatus
    outputs: Mapping[str, Any]
    fingerprint: Mapping[str, str]
    run_id: str
    seconds: float = 0.0
    left: Optional[Mapping[str, Any]] = None
    """Reference to the list of files that it left, with the host; None if it left nothing."""
    has_left: bool = True
    """False for a step of an earlier release, which did not record its files."""


def restore_outputs(record: StepRecord, store: StateStore, workdir: Path) -> dict[str, Any]:
    """Returns a step's outputs, its lists on this machine. Raises ListDamaged, StepError."""
    return {name: restore_lists(value, store, workdir) for name, value in record.outputs.items()}


def find_left_change(record: StepRecord, store: StateStore, workdir: Path, cancel: Cancel) -> str:
    """Returns why the files that a step left cannot be trusted; empty if they can.

    Raises StepError.
    """
    left = record.left
    if left is None:
        return ""
    here = socket.gethostname()
    if left["host"] != here:
        return f"its files are on {left['host']}, and this is {here}"
    try:
        path = fetch_list(left, store, workdir)
    except ListDamaged as error:
        return error.message
    return find_change(path, cancel)
