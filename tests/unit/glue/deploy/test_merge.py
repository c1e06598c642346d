"""Tests how a deployment is merged with the job that exists."""

from __future__ import annotations

from rolerunner.glue.deploy.merge import diff_jobs, extract_update, merge_job, merge_tags


def test_what_is_not_ours_stays_and_what_was_ours_goes() -> None:
    current = {
        "Name": "nightly", "Role": "old", "Timeout": 60, "MaxCapacity": 2.0, "WorkerType": "G.1X",
        "NumberOfWorkers": 2, "AllocatedCapacity": 2,
        "CreatedOn": 1, "LogUri": "s3://logs/", "SecurityConfiguration": "", "Description": "mine",
        "DefaultArguments": {"--enable-metrics": "true", "--old": "1", "--stage": "dev"},
        "NotificationProperty": {"NotifyDelayAfter": 5},
    }  # fmt: skip
    members = frozenset({*current, "ExecutionProperty"} - {"Name", "CreatedOn"})
    last = {"Description": "mine", "DefaultArguments": {"--old": "1"}}
    goal = {
        "Role": "new",
        "Timeout": 60,
        "MaxCapacity": 0.0625,
        "DefaultArguments": {"--new": "2"},
        "NonOverridableArguments": {"--stage": "prod"},
    }
    before = extract_update(current, members, goal)
    after = merge_job(before, last, goal)
    assert after == {
        "Role": "new", "Timeout": 60, "MaxCapacity": 0.0625, "LogUri": "s3://logs/",
        "NotificationProperty": {"NotifyDelayAfter": 5},
        "ExecutionProperty": {"MaxConcurrentRuns": 1},
        "DefaultArguments": {"--enable-metrics": "true", "--new": "2"},
        "NonOverridableArguments": {"--stage": "prod"},
    }  # fmt: skip
    assert [str(change) for change in diff_jobs(before, after)] == [
        "+ DefaultArguments.--new: 2",
        "- DefaultArguments.--old: 1",
        "- DefaultArguments.--stage: dev",
        "- Description: mine",
        "~ MaxCapacity: 2.0 -> 0.0625",
        "+ NonOverridableArguments.--stage: prod",
        "~ Role: old -> new",
    ]
    assert merge_tags({"a": "1", "b": "2"}, {"a": "1"}, {"c": "3"}) == {"b": "2", "c": "3"}


def test_the_library_set_is_one_argument_in_either_spelling() -> None:
    current = {"DefaultArguments": {"--library-set": "none", "--enable-metrics": ""}}
    wanted = {"DefaultArguments": {"library-set": "analytics"}}
    assert merge_job(current, {}, wanted)["DefaultArguments"] == {
        "library-set": "analytics",
        "--enable-metrics": "",
    }
    assert merge_job(current, {}, {"DefaultArguments": {}}) == current


def test_a_difference_shows_no_secret_and_no_endless_list() -> None:
    long = ",".join(f"s3://bucket/folder/wheel-{number}.whl" for number in range(12))
    shown = [
        str(change)
        for change in diff_jobs(
            {}, {"A": {"--x": long, "--y": "", "--z": "aws_secret_access_key=abcdefghijklmnop"}}
        )
    ]
    assert shown == [
        "+ A.--x: s3://bucket/folder/wheel-0.whl and 11 more",
        "+ A.--y: ''",
        "+ A.--z: aws_secret_access_key=[redacted]",
    ]
