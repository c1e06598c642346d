"""Secrets in the responses of AWS services, by the models of the services."""

from functools import partial
from pathlib import Path
from typing import Any

import botocore
import jmespath
import pytest
from botocore.model import ServiceModel

from rolerunner.actions.secret_shapes import (
    hands_out_credentials,
    is_secret_at,
    seal_answer,
    seal_selected,
)
from rolerunner.redaction.redact import redact, redact_text
from rolerunner.redaction.sealing import has_secret_value
from rolerunner.redaction.secrets import MASK
from rolerunner.sessions.service_models import shared_loader

LIST = Path(__file__).with_name("credential_operations.txt")
LIST_MADE_FROM = "1.43.106"


def model(service: str) -> ServiceModel:
    return ServiceModel(shared_loader().load_service_model(service, "service-2"), service)


def output(service: str, operation: str) -> Any:
    return model(service).operation_model(operation).output_shape


@pytest.mark.once
@pytest.mark.slow
def test_every_operation_that_hands_out_credentials_is_on_the_list() -> None:
    known = {tuple(line.split()) for line in LIST.read_text().splitlines()}
    found, there = set(), set()
    for service in shared_loader().list_available_services("service-2"):
        read = model(service)
        for operation in read.operation_names:
            there.add((service, operation))
            if hands_out_credentials(
                service, operation, read.operation_model(operation).output_shape
            ):
                found.add((service, operation))
    print("\n".join(sorted(f"{service} {operation}" for service, operation in found)))
    assert len(there) > 5000
    assert (known & there) - found == set()
    if botocore.__version__ == LIST_MADE_FROM:
        assert found - known == set(), "look at these, and put them on the list"


@pytest.mark.parametrize(
    ("service", "operation"),
    [("sts", "GetCallerIdentity"), ("secretsmanager", "GetSecretValue"),
     ("secretsmanager", "DescribeSecret"), ("ssm", "GetParameter"), ("iam", "ListAccessKeys"),
     ("s3", "ListObjectsV2"), ("rds", "DescribeDBInstances"),
     ("cognito-idp", "DescribeUserPoolClient"), ("glue", "StartJobRun"), ("lambda", "Invoke"),
     ("efs", "CreateFileSystem"), ("rds", "CreateDBInstance"), ("amplify", "CreateApp")],
)  # fmt: skip
def test_operations_that_hand_out_none(service: str, operation: str) -> None:
    assert not hands_out_credentials(service, operation, output(service, operation))


@pytest.mark.parametrize(
    ("service", "operation"),
    [("sts", "AssumeRole"), ("ssm", "StartSession"), ("ecs", "ExecuteCommand"),
     ("mwaa", "CreateCliToken"), ("mwaa", "CreateWebLoginToken"),
     ("lightsail", "CreateContainerServiceRegistryLogin")],
)  # fmt: skip
def test_operations_that_hand_out_some(service: str, operation: str) -> None:
    assert hands_out_credentials(service, operation, output(service, operation))


@pytest.mark.parametrize(
    ("service", "operation", "answer", "secret"),
    [
        (
            "secretsmanager",
            "GetSecretValue",
            {"Name": "db", "SecretString": "blue-kettle-1"},
            "blue-kettle-1",
        ),
        (
            "secretsmanager",
            "BatchGetSecretValue",
            {"SecretValues": [{"Name": "db", "SecretString": "blue-kettle-2"}]},
            "blue-kettle-2",
        ),
        (
            "ssm",
            "GetParameter",
            {"Parameter": {"Name": "db", "Value": "blue-kettle-3"}},
            "blue-kettle-3",
        ),
        (
            "ssm",
            "GetParametersByPath",
            {"Parameters": [{"Name": "db", "Value": "blue-kettle-4"}]},
            "blue-kettle-4",
        ),
        ("kms", "GenerateDataKey", {"KeyId": "db", "Plaintext": "blue-kettle-5"}, "blue-kettle-5"),
        ("kms", "Decrypt", {"KeyId": "db", "Plaintext": "blue-kettle-6"}, "blue-kettle-6"),
        ("apigateway", "GetApiKey", {"name": "db", "value": "blue-kettle-7"}, "blue-kettle-7"),
        (
            "codebuild",
            "BatchGetProjects",
            {
                "projects": [
                    {
                        "name": "db",
                        "environment": {
                            "environmentVariables": [{"name": "X", "value": "blue-kettle-20"}]
                        },
                    }
                ]
            },
            "blue-kettle-20",
        ),
        (
            "cognito-idp",
            "DescribeUserPoolClient",
            {"UserPoolClient": {"ClientName": "db", "ClientSecret": "blue-kettle-8"}},
            "blue-kettle-8",
        ),
        (
            "ec2",
            "CreateKeyPair",
            {"KeyName": "db", "KeyMaterial": "blue-kettle-9"},
            "blue-kettle-9",
        ),
        (
            "iot",
            "CreateKeysAndCertificate",
            {"certificateId": "db", "keyPair": {"PublicKey": "p", "PrivateKey": "blue-kettle-10"}},
            "blue-kettle-10",
        ),
    ],
)
def test_secret_members_are_sealed(
    service: str, operation: str, answer: dict[str, Any], secret: str
) -> None:
    sealed = seal_answer(answer, output(service, operation), service)
    assert sealed == answer
    shown = str(redact(sealed))
    assert secret not in shown
    assert "db" in shown
    assert redact_text(f"login with {secret}") == f"login with {MASK}"


ANSWER = {
    "ARN": "arn:aws:x",
    "Name": "db",
    "SecretString": "blue-kettle-4711",
    "VersionStages": ["AWSCURRENT"],
}


@pytest.mark.parametrize(
    ("select", "place", "is_secret"),
    [
        ("SecretString", "result", True),
        ("{name: Name, value: SecretString}", "value", True),
        ("{name: Name, value: SecretString}", "name", False),
        ("join('-', [Name, SecretString])", "result", True),
        ("to_string(@)", "result", True),
        ("reverse(SecretString)", "result", True),
        ("[Name, SecretString][1]", "result", True),
        ("length(SecretString)", "result", True),
        ("VersionStages[0]", "result", False),
        ("join('-', [Name, ARN])", "result", False),
        ("@", "SecretString", True),
        ("@", "ARN", False),
    ],
)
def test_what_is_selected_out_of_a_secret_is_one(select: str, place: str, is_secret: bool) -> None:
    shape = output("secretsmanager", "GetSecretValue")
    search = partial(jmespath.search, select)
    assert is_secret_at(shape, "secretsmanager", (place,), search) is is_secret, "before the run"
    selected = seal_selected(search, ANSWER, seal_answer(ANSWER, shape, "secretsmanager"))
    value = selected[place] if isinstance(selected, dict) else selected
    assert has_secret_value(value) is is_secret, "at run"


def test_parts_of_a_secret_in_json_are_known() -> None:
    shape = output("secretsmanager", "GetSecretValue")
    seal_answer(
        {"SecretString": '{"username": "ada", "password": "Green-4"}'}, shape, "secretsmanager"
    )
    assert redact_text("ada and Green-4") == f"ada and {MASK}"
