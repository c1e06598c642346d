"""Datasets that steps read and write, found from their permissions.

Permissions are derived from the fields of each action, so no kind of step is listed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolerunner.model import Plan, PlannedStep

_READS, _WRITES = ("s3:GetObject", "s3:GetObjectVersion"), ("s3:PutObject",)
_BUCKET_OBJECT = re.compile(r"arn:aws[a-z-]*:s3:::([^/]+)(?:/(.*))?\Z", re.DOTALL)
_ACCESS_POINT_OBJECT = re.compile(r"(arn:aws[a-z-]*:s3[^/]*/[^/]+)/object/(.*)\Z", re.DOTALL)


@dataclass(frozen=True, order=True)
class Dataset:
    """A prefix or object in S3, named as OpenLineage's naming of datasets says."""

    namespace: str
    """``s3://bucket``."""
    name: str
    """The prefix without its last slash, as OpenLineage's Spark integration has it."""


@dataclass(frozen=True)
class StepDatasets:
    """The datasets that a step reads and writes."""

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()


def find_datasets(plan: Plan) -> dict[str, StepDatasets]:
    """Returns the datasets of each step, by its id."""
    planned: dict[str, list[PlannedStep]] = {}
    for each in plan.steps:
        planned.setdefault(each.step.id, []).append(each)
    return {step_id: _find_datasets_of(steps) for step_id, steps in planned.items()}


def join_datasets(datasets: Iterable[StepDatasets]) -> StepDatasets:
    """Returns the datasets of a whole run."""
    listed = list(datasets)
    inputs = {each for one in listed for each in one.inputs}
    outputs = {each for one in listed for each in one.outputs}
    return StepDatasets(tuple(sorted(inputs)), tuple(sorted(outputs)))


def _find_datasets_of(steps: Iterable[PlannedStep]) -> StepDatasets:
    permissions = [
        each for step in steps for of_role in step.permissions.values() for each in of_role
    ]
    outputs = _parse_resources(each.resource for each in permissions if each.action in _WRITES)
    inputs = _parse_resources(each.resource for each in permissions if each.action in _READS)
    # a step that looks at its target, to skip or keep what is there, does not read from it
    return StepDatasets(tuple(sorted(inputs - outputs)), tuple(sorted(outputs)))


def _parse_resources(resources: Iterable[str]) -> set[Dataset]:
    return {found for found in map(_parse_resource, resources) if found is not None}


def _parse_resource(resource: str) -> Optional[Dataset]:
    """Returns the dataset of objects' ARN; None for one that names no bucket."""
    found = _BUCKET_OBJECT.match(resource) or _ACCESS_POINT_OBJECT.match(resource)
    if found is None or "*" in found.group(1):
        return None
    key = (found.group(2) or "").rstrip("*")
    return Dataset(f"s3://{found.group(1)}", key.rstrip("/") or "/")
