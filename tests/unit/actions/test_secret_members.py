"""Members of answers that are secrets although the models of their services do not say so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore
import pytest
from botocore.model import ServiceModel

from rolerunner.actions.secret_members import is_secret_member
from rolerunner.actions.secret_shapes import hands_out_credentials, is_sensitive, seal_answer
from rolerunner.redaction.redact import redact
from rolerunner.sessions.service_models import shared_loader

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST = Path(__file__).with_name("plain_members.txt")
LIST_MADE_FROM = "1.43.106"
SUSPICIOUS = re.compile(
    r"secret|passw|passphrase|passcode|apikey|privatekey|signed.?ur|connectionstring|keymaterial"
    r"|(access|auth|bearer|refresh|session|id)token|credential|userdata",
    re.IGNORECASE,
)
TELLS_NO_SECRET = re.compile(
    r"(arns?|ids?|names?|types?|status|versions?|expir\w*|jsonkey|days|prefix|location|url"
    r"|provider|configurations?|date|time)$",
    re.IGNORECASE,
)


def model(service: str) -> ServiceModel:
    return ServiceModel(shared_loader().load_service_model(service, "service-2"), service)


def output(service: str, operation: str) -> Any:
    return model(service).operation_model(operation).output_shape


def iter_plain(shape: Any, service: str, seen: set[str]) -> Iterator[tuple[str, Any]]:
    """The members with text that are shown, with the shapes of the texts; each structure once."""
    if shape.name in seen or is_sensitive(shape):
        return
    if shape.type_name in ("list", "map"):
        inner = shape.member if shape.type_name == "list" else shape.value
        yield from iter_plain(inner, service, seen)
    elif shape.type_name == "structure":
        seen.add(shape.name)
        for name, member in shape.members.items():
            if is_sensitive(member) or is_secret_member(name, member, service, shape.name):
                continue
            inner = getattr(member, {"list": "member", "map": "value"}.get(member.type_name, ""), 0)
            if (inner or member).type_name in ("string", "blob"):
                yield name, inner or member
            yield from iter_plain(member, service, seen)


@pytest.mark.once
@pytest.mark.slow
def test_members_with_names_of_secrets_are_secrets_or_on_the_list() -> None:
    known = {tuple(line.split()) for line in LIST.read_text().splitlines()}
    found = set()
    for service in shared_loader().list_available_services("service-2"):
        read, seen = model(service), set[str]()
        for operation in read.operation_names:
            shape = read.operation_model(operation).output_shape
            if shape is None or hands_out_credentials(service, operation, shape):
                continue
            found |= {
                (service, name)
                for name, text in iter_plain(shape, service, seen)
                if SUSPICIOUS.search(name)
                and not TELLS_NO_SECRET.search(name)
                and not is_sensitive(text)
                and not getattr(text, "enum", None)
            }
    print("\n".join(sorted(f"{service} {name}" for service, name in found)))
    if botocore.__version__ == LIST_MADE_FROM:
        assert found == known, "seal these, or put them on the list"


ACCESS = "https://studio.example.org/auth?t=blue-kettle"
OPTION = {"OptionName": "db", "Value": "blue-kettle"}
LAUNCHED = {"LaunchConfigurationName": "db", "UserData": "blue-kettle"}
APP = {"name": "db", "environmentVariables": {"X": "blue-kettle"}}


@pytest.mark.parametrize(
    ("service", "operation", "answer"),
    [
        ("appsync", "ListApiKeys", {"apiKeys": [{"id": "blue-kettle", "description": "db"}]}),
        ("appsync", "CreateApiKey", {"apiKey": {"id": "blue-kettle", "description": "db"}}),
        (
            "elasticbeanstalk",
            "DescribeConfigurationSettings",
            {"ConfigurationSettings": [{"OptionSettings": [OPTION]}]},
        ),
        ("sagemaker", "CreatePresignedNotebookInstanceUrl", {"AuthorizedUrl": ACCESS}),
        ("sagemaker", "CreatePresignedDomainUrl", {"AuthorizedUrl": ACCESS}),
        ("lambda", "GetFunction", {"Code": {"Location": ACCESS, "RepositoryType": "db"}}),
        ("qapps", "CreatePresignedUrl", {"fileId": "db", "presignedUrlFields": {"p": ACCESS}}),
        ("amplify", "CreateApp", {"app": APP}),
        ("autoscaling", "DescribeLaunchConfigurations", {"LaunchConfigurations": [LAUNCHED]}),
        (
            "ec2",
            "DescribeInstanceAttribute",
            {"InstanceId": "db", "UserData": {"Value": "blue-kettle"}},
        ),
        (
            "pinpoint",
            "GetGcmChannel",
            {"GCMChannelResponse": {"Id": "db", "Credential": "blue-kettle"}},
        ),
    ],
)
def test_secrets_that_models_do_not_mark(
    service: str, operation: str, answer: dict[str, Any]
) -> None:
    shown = str(redact(seal_answer(answer, output(service, operation), service)))
    assert "blue-kettle" not in shown
    assert ("db" in shown) == ("db" in str(answer))


TRANSCRIPT = {"TranscriptFileUri": "https://s3/b/green.json"}
QUEUE = {"computeEnvironmentOrder": [{"computeEnvironment": "green"}]}


@pytest.mark.parametrize(
    ("service", "operation", "answer"),
    [
        ("transcribe", "GetTranscriptionJob", {"TranscriptionJob": {"Transcript": TRANSCRIPT}}),
        ("qapps", "CreatePresignedUrl", {"presignedUrlExpiration": "green"}),
        (
            "elasticbeanstalk",
            "DescribeEnvironments",
            {"Environments": [{"EnvironmentName": "green"}]},
        ),
        ("sqs", "GetQueueUrl", {"QueueUrl": "https://sqs/1/green"}),
        ("batch", "DescribeJobQueues", {"jobQueues": [QUEUE]}),
    ],
)
def test_values_that_are_no_secrets(service: str, operation: str, answer: dict[str, Any]) -> None:
    assert "green" in str(redact(seal_answer(answer, output(service, operation), service)))
