"""Commands and operators of other tools: the hint names the action that does the same."""

from __future__ import annotations

import re

import pytest

from rolerunner.actions import registry
from rolerunner.spec import foreign_actions, misnomers
from rolerunner.spec.foreign_actions import suggest_action

KNOWN = f"known: {', '.join(sorted(registry()))}"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("s3.cp", "write action: s3.upload, s3.download or s3.copy"),
        ("aws s3 rm", "write action: s3.delete"),
        ("s3.move", "write action: s3.copy, with move: true"),
        ("s3api.head-object", "write action: s3.wait"),
        ("S3.List", "did you mean 's3.list'?"),
        ("s3_list", "did you mean 's3.list'?"),
        (" s3.list ", "did you mean 's3.list'?"),
        ("upload", "did you mean 's3.upload'?"),
        ("s3.downlod", "did you mean 's3.download'?"),
        ("S3DeleteObjectsOperator", "write action: s3.delete"),
        ("airflow.operators.S3KeySensor", "write action: s3.wait"),
        ("io.kestra.plugin.aws.s3.Downloads", "write action: s3.download"),
        ("io.kestra.plugin.core.http.Request", foreign_actions._FUNCTION),
        ("arn:aws:states:::aws-sdk:s3:listObjectsV2", "write action: s3.list"),
        ("python.cal", "did you mean 'python.call'?"),
        ("athena.querry", "did you mean 'athena.query'?"),
        ("python.run", foreign_actions._FUNCTION),
        ("BashOperator", misnomers.NO_SHELL),
        ("acme.frobnicate", KNOWN),  # of a package that is not installed
        ("", KNOWN),
        ("xyz", KNOWN),
    ],
)
def test_the_action_that_does_the_same(name: str, hint: str) -> None:
    assert suggest_action(name, registry()) == hint


def test_each_action_that_is_suggested_exists() -> None:
    named = {
        name
        for hint in foreign_actions._COMMANDS.values()
        for name in re.findall(r"\b(?:s3|aws|python|athena|spark|glue)\.[a-z]+", hint)
    }
    assert named <= set(registry())
    assert len(named) > 10
