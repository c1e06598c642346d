"""Datasets that steps read and write, and jobs that they start, found from their permissions.

Permissions are derived from the fields of each action, so no kind of step is listed here. What no
permission names is in the plan.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from rolerunner.model import Dataset, StepDatasets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolerunner.model import Permission, Plan, PlannedStep, Role

_READS = ("s3:GetObject", "s3:GetObjectVersion", "glue:GetTable")
_WRITES = (
    "s3:PutObject",
    "glue:BatchCreatePartition",
    "glue:BatchUpdatePartition",
    "glue:CreatePartition",
    "glue:UpdatePartition",
    "glue:CreateTable",
    "glue:UpdateTable",
)
_STARTS = ("glue:StartJobRun",)
_BUCKET_OBJECT = re.compile(r"arn:aws[a-z-]*:s3:::([^/]+)(?:/(.*))?\Z", re.DOTALL)
_ACCESS_POINT_OBJECT = re.compile(r"(arn:aws[a-z-]*:s3[^/]*/[^/]+)/object/(.*)\Z", re.DOTALL)
_OF_GLUE = re.compile(r"(arn:aws[a-z-]*:glue):([^:]*):([^:]*):((?:table/[^/]+/|job/).+)\Z")


def find_datasets(plan: Plan, region: str = "") -> dict[str, StepDatasets]:
    """Returns the datasets of each step, by its id. ``region`` is that of the job, if known."""
    planned: dict[str, list[PlannedStep]] = {}
    for each in plan.steps:
        planned.setdefault(each.step.id, []).append(each)
    return {step_id: _find_datasets_of(steps, region) for step_id, steps in planned.items()}


def join_datasets(datasets: Iterable[StepDatasets]) -> StepDatasets:
    """Returns the datasets of a whole run."""
    listed = list(datasets)
    inputs = {each for one in listed for each in one.inputs}
    outputs = {each for one in listed for each in one.outputs}
    return StepDatasets(tuple(sorted(inputs)), tuple(sorted(outputs)))


def _find_datasets_of(steps: Iterable[PlannedStep], region: str) -> StepDatasets:
    inputs: set[Dataset] = set()
    outputs: set[Dataset] = set()
    jobs: set[Dataset] = set()
    for planned in steps:
        for permission, found in _parse_permissions(planned, region):
            for actions, datasets in ((_READS, inputs), (_WRITES, outputs), (_STARTS, jobs)):
                if permission.action in actions:
                    datasets.add(found)
        for each in planned.datasets:
            inputs.update(_fill_region(one, planned, region) for one in each.inputs)
            outputs.update(_fill_region(one, planned, region) for one in each.outputs)
    # a step that looks at its target, to skip or keep what is there, does not read from it
    return StepDatasets(
        tuple(sorted(inputs - outputs)), tuple(sorted(outputs)), tuple(sorted(jobs))
    )


def _parse_permissions(planned: PlannedStep, region: str) -> Iterator[tuple[Permission, Dataset]]:
    """Yields each permission on data or on a job, with what its resource is."""
    for name, permissions in planned.permissions.items():
        role = planned.step.roles.get(name)
        for each in permissions:
            found = _parse_object(each.resource) or _parse_glue(
                each.resource, role, _find_region(planned, role, region)
            )
            if found is not None:
                yield each, found


def _parse_object(resource: str) -> Optional[Dataset]:
    """Returns the dataset of objects' ARN; None for one that names no bucket."""
    found = _BUCKET_OBJECT.match(resource) or _ACCESS_POINT_OBJECT.match(resource)
    if found is None or "*" in found.group(1):
        return None
    key = (found.group(2) or "").rstrip("*")
    return Dataset(f"s3://{found.group(1)}", key.rstrip("/") or "/")


def _parse_glue(resource: str, role: Optional[Role], region: str) -> Optional[Dataset]:
    """Returns the table or job of an ARN; what the ARN leaves open is that of the role."""
    found = _OF_GLUE.match(resource)
    if found is None:
        return None
    service, of_arn, account, name = found.groups()
    if account == "*" and role is not None and not role.is_job:
        account = role.arn.split(":")[4]
    return Dataset(f"{service}:{region if of_arn == '*' else of_arn}:{account}", name)


def _find_region(planned: PlannedStep, role: Optional[Role], region: str) -> str:
    """Returns the region of a step: that of its field, of its role or of the job."""
    of_step = planned.fields.get("region")
    return str(of_step or "") or (role.region if role is not None else "") or region or "*"


def _fill_region(dataset: Dataset, planned: PlannedStep, region: str) -> Dataset:
    role = planned.step.roles.get("role")
    filled = dataset.namespace.replace("*", _find_region(planned, role, region))
    return Dataset(filled, dataset.name)
