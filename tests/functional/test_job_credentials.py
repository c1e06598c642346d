"""The job's own credentials: whatever their source does, the run ends with one clear refusal."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from rolerunner import api
from rolerunner.errors import RolesRefused, UsageError
from rolerunner.observers.result import ResultFile

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

SECRET = "secret-that-a-process-wrote"
KEYS = '"Version": 1, "AccessKeyId": "AKID-OF-TESTS", "SecretAccessKey": "key-of-tests"'
SPEC = """
version: 1
name: credentials
roles: {reader: "arn:aws:iam::444455556666:role/reader"}
steps:
  - {id: read, action: s3.read, role: reader, source: "s3://bucket/a"}
  - {id: own, action: s3.read, role: job, source: "s3://bucket/a"}
"""
PROCESS = "credential_process = "
SOURCES = {
    "nothing": ("", "the job has no AWS credentials of its own"),
    "garbage": (f"{PROCESS}echo {SECRET}", "(profile 'ops') cannot be loaded: "),
    "silent": (f"{PROCESS}true", "what its source returned is not JSON"),
    "failed": (f"{PROCESS}sh -c 'echo {SECRET} >&2; exit 1'", "the credential_process of the"),
    "absent": (f"{PROCESS}/no/such/program", "No such file or directory: /no/such/program"),
    "a list": (f"{PROCESS}echo [1]", "cannot be loaded: AttributeError"),
    "expired": (
        f'{PROCESS}echo \'{{{KEYS}, "Expiration": "2020-01-01T00:00:00Z"}}\'',
        "still expired",
    ),
    "no token file": (
        "role_arn = arn:aws:iam::111122223333:role/pod\nweb_identity_token_file = /no/such/token",
        "No such file or directory: /no/such/token",
    ),
    "no source": (
        "role_arn = arn:aws:iam::111122223333:role/x\nsource_profile = none",
        "profile",
    ),
    "a space": (
        f"{PROCESS}echo '{{{KEYS.replace('key-of-tests', 'key-of-tests ')}}}'",
        "the secret key of the job's own credentials has white space",
    ),
}
"""Profile of the job, and what its refusal says."""


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_of_credentials_that_fails_is_a_refusal_before_the_first_step(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, message = SOURCES[source]
    (tmp_path / "config").write_text(f"[profile ops]\nregion = eu-west-1\n{profile}\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "ops")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (tmp_path / "spec.yaml").write_text(SPEC)
    with pytest.raises(RolesRefused) as refused:
        api.run(
            api.load(tmp_path / "spec.yaml"), observers=[ResultFile.at(tmp_path / "result.json")]
        )
    assert [refusal.role for refusal in refused.value.refusals] == ["job", "reader"]
    result = (tmp_path / "result.json").read_text()
    steps = json.loads(result)["steps"]
    assert [step["status"] for step in steps] == ["not_run"] * 2
    for failure in (steps[0]["error"], steps[1]["error"]):
        assert message in failure["message"]
        assert "\n" not in failure["message"]
        assert (failure["type"], bool(failure["hint"])) == ("NoCredentials", True)
    assert SECRET not in result


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_ENDPOINT_URL_S3", "127.0.0.1:9000"), ("AWS_REGION", "eu-west-1\n")],
)
def test_a_wrong_setting_is_a_usage_error_with_a_result(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, value)
    (tmp_path / "spec.yaml").write_text(SPEC)
    with pytest.raises(UsageError, match=variable):
        api.run(
            api.load(tmp_path / "spec.yaml"), observers=[ResultFile.at(tmp_path / "result.json")]
        )
    result = json.loads((tmp_path / "result.json").read_text())
    assert variable in result["error"]["message"]
