"""Datasets, found from the permissions of steps."""

from __future__ import annotations

import pytest

from rolerunner.model import Job, Permission, Plan, PlannedStep, Step
from rolerunner.observers.telemetry.datasets import Dataset, find_datasets, join_datasets


def plan_of(**resources: tuple[str, ...]) -> Plan:
    """Returns a plan with one step; GetObject and PutObject on these resources."""
    permissions = tuple(
        Permission(f"s3:{action}", each) for action, listed in resources.items() for each in listed
    )
    step = Step("a", "s3.copy", {})
    return Plan(Job("j", (step,)), (PlannedStep(step, {}, {"role": permissions}),), ())


@pytest.mark.parametrize(
    ("resource", "namespace", "name"),
    [
        ("arn:aws:s3:::landing/in/*", "s3://landing", "in"),
        ("arn:aws:s3:::landing/in/a.csv", "s3://landing", "in/a.csv"),
        ("arn:aws-cn:s3:::landing/*", "s3://landing", "/"),
        ("arn:aws:s3:::landing/*/day/*", "s3://landing", "*/day"),
        (
            "arn:aws:s3:eu-west-1:111122223333:accesspoint/ap/object/in/*",
            "s3://arn:aws:s3:eu-west-1:111122223333:accesspoint/ap",
            "in",
        ),
    ],
)
def test_resources_are_datasets(resource: str, namespace: str, name: str) -> None:
    assert find_datasets(plan_of(GetObject=(resource,)))["a"].inputs == (Dataset(namespace, name),)


@pytest.mark.parametrize("resource", ["*", "arn:aws:s3:::*", "arn:aws:sns:eu-west-1:1:t"])
def test_other_resources_are_none(resource: str) -> None:
    assert find_datasets(plan_of(GetObject=(resource,)))["a"].inputs == ()


def test_a_target_that_is_looked_at_is_no_input() -> None:
    target, source = "arn:aws:s3:::lake/*", "arn:aws:s3:::landing/*"
    found = find_datasets(plan_of(GetObject=(source, target), PutObject=(target,)))
    assert found["a"].inputs == (Dataset("s3://landing", "/"),)
    assert found["a"].outputs == (Dataset("s3://lake", "/"),)
    assert join_datasets([found["a"], found["a"]]) == found["a"]
