"""Permissions of ``spark.sql`` for its two roles."""

from __future__ import annotations

from rolerunner.actions.builtin.spark_sql import SparkSql


def test_permissions_are_those_of_the_two_roles() -> None:
    step = SparkSql.model_validate(
        {
            "sources": {"a": {"location": "s3://landing/in/"}},
            "target": {"location": "s3://publish/a/out/"},
        }
    )
    needed = {
        role: [(each.action, each.resource) for each in permissions]
        for role, permissions in step.permissions().items()
    }
    assert needed["source_role"] == [
        ("s3:ListBucket", "arn:aws:s3:::landing"),
        ("s3:GetObject", "arn:aws:s3:::landing/in/*"),
        ("s3:GetObject", "arn:aws:s3:::landing/in"),
    ]
    assert needed["target_role"] == [
        ("s3:ListBucket", "arn:aws:s3:::publish"),
        *(
            (f"s3:{action}", "arn:aws:s3:::publish/a/out/*")
            for action in ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload")
        ),
        ("s3:GetObject", "arn:aws:s3:::publish/a/out"),
        ("s3:GetObject", "arn:aws:s3:::publish/a"),
    ]
    assert SparkSql.model_validate({"sources": {"a": {"location": "orders/"}}}).permissions() == {
        "source_role": [],
        "target_role": [],
    }
