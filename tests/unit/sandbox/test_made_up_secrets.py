"""The secrets that a sandbox without a file makes up."""

from __future__ import annotations

import base64
import json
from typing import Any

from rolerunner.actions import registry
from rolerunner.plan.planning import make_plan
from rolerunner.sandbox.made_up_secrets import MadeUpSecrets, make_up_secrets
from rolerunner.spec.loader import load_spec

JOB_ROLE = "arn:aws:iam::123456789012:role/glue"
ARN = "arn:aws:secretsmanager:us-east-1:333344445555:secret:prod/x"
HEAD = "version: 1\nname: t\nroles: {r: 'arn:aws:iam::222233334444:role/r'}\n"
STEP = "steps: [{id: a, action: s3.list, role: job, source: s3://bucket/in/}]\n"


def make_up(params: dict[str, Any], steps: str = STEP) -> MadeUpSecrets:
    declared = {name: {"secret": True, "role": "r", **values} for name, values in params.items()}
    text = f"{HEAD}params: {json.dumps(declared)}\n{steps}"
    return make_up_secrets(make_plan(load_spec(text, "t", registry(), {}), registry()), JOB_ROLE)


def test_keys_of_one_secret_are_one_json() -> None:
    found = make_up({"one": {"from": "secretsmanager:x#a"}, "two": {"from": "secretsmanager:x#b"}})
    (secret,) = found.secrets
    assert json.loads(secret.value) == {"a": "sample-one", "b": "sample-two"}
    assert (secret.title, secret.owner) == ("x", "222233334444")
    assert [note.partition(" is made up")[0] for note in found.notes] == [
        "secretsmanager:x#a",
        "secretsmanager:x#b",
    ]


def test_the_job_has_the_account_of_its_role() -> None:
    found = make_up({"one": {"from": "ssm:/a:3", "role": "job"}})
    (parameter,) = found.parameters
    assert (parameter.name, parameter.account, parameter.text) == (
        "/a",
        "123456789012",
        "sample-one",
    )


def test_a_secret_of_another_account_grants_the_role_its_use() -> None:
    found = make_up(
        {
            "one": {"from": f"secretsmanager:{ARN}-AbCdEf"},
            "two": {"from": f"secretsmanager:{ARN}"},
            "three": {"from": "ssm:arn:aws:ssm:us-west-2:333344445555:parameter/a/b"},
            "four": {"from": "ssm:arn:aws:ssm:us-west-2:222233334444:parameter/own"},
        }
    )
    whole, partial = found.secrets
    assert (whole.arn, partial.arn) == (f"{ARN}-AbCdEf", None)
    assert (partial.title, partial.owner, partial.home) == ("prod/x", "333344445555", "us-east-1")
    assert whole.policy[0]["Principal"] == {"AWS": "arn:aws:iam::222233334444:root"}
    assert [(each.name, each.account, each.region) for each in found.parameters] == [
        ("/a/b", "333344445555", "us-west-2"),
        ("own", "222233334444", "us-west-2"),
    ]


def test_values_follow_the_rules_of_their_params() -> None:
    steps = (
        "steps: [{id: a, action: s3.read, role: r, source: s3://bucket/k, "
        "customer_key: '${{ params.key }}'}]\n"
    )
    found = make_up(
        {
            "long": {"from": "ssm:/long", "min": 20},
            "short": {"from": "ssm:/short", "max": 5},
            "one": {"from": "ssm:/one", "choices": ["first", "second"]},
            "key": {"from": "ssm:/key"},
            "digits": {"from": "ssm:/digits", "pattern": "[0-9]+"},
        },
        steps,
    )
    values = {each.name: each.text for each in found.parameters}
    assert len(values["/long"]) == 20
    assert (values["/short"], values["/one"]) == ("sampl", "first")
    assert len(base64.b64decode(values["/key"])) == 32
    assert found.notes[-1].endswith("it does not match the pattern of the param")
