"""Secrets of a case in what its run wrote: the output, the result, files and objects."""

from __future__ import annotations

import base64
import gzip
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import MASK
from rolerunner.sandbox import JobKeys, World
from rolerunner.spec_testing.shown_secrets import (
    find_shown_secrets,
    list_secrets,
    register_secrets,
)
from tests.unit.spec_testing import samples

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.spec_testing.case import Case

ACCOUNT = "444455556666"
SPEC = samples.SPEC.replace(
    "params: {",
    "params: {login: {secret: true, from: 'secretsmanager:partner#login', role: reader}, "
    "own: {secret: true, default: sS2-default}, ",
)
PARTNER = {"login": "sS2-login", "password": "sS2-password", "user": "ada-lovelace"}
SECRETS = {
    "secrets": [
        {"name": "partner", "account": ACCOUNT, "json": PARTNER},
        {"name": "lines", "account": ACCOUNT, "text": "sS2-first\nsS2-second"},
    ],
    "parameters": [
        {"name": "/key", "account": ACCOUNT, "text": "sS2-parameter"},
        {"name": "/plain", "account": ACCOUNT, "text": "sS2-plain", "type": "String"},
    ],
}  # fmt: skip


class FakeAws:
    """The objects of a sandbox, and the keys of its job."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = {key.replace("_", "/"): body for key, body in objects.items()}
        self.job_keys = JobKeys("ASIAX", "sS2-secret-key", "sS2-session-token")

    def client(self, service: str, account: str) -> FakeAws:
        assert (service, account) == ("s3", ACCOUNT)
        return self

    def messages(self) -> list[Any]:
        return []

    def get_object(self, **place: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[place["Key"]]), "Metadata": {"m": "n"}}

    def get_object_tagging(self, **_: str) -> dict[str, Any]:
        return {"TagSet": []}

    def get_paginator(self, _: str) -> FakeAws:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"Contents": [{"Key": key} for key in self.objects]}]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    (tmp_path / "job.yaml").write_text(SPEC)
    cases = "  - {name: x, given: {files: {in.txt: sS2-login}}}\n"
    (loaded,) = samples.load(tmp_path, cases)
    world = World.model_validate({**loaded.world.model_dump(by_alias=True), **SECRETS})
    loaded.folder.mkdir(parents=True)
    return replace(loaded, world=world)


def find(case: Case, output: str = "", result: Any = None, aws: FakeAws | None = None) -> list[str]:
    fake: Any = aws or FakeAws()
    return list(find_shown_secrets(case, fake, result or {}, output))


def test_secrets_are_those_of_the_sandbox_and_secret_params(case: Case) -> None:
    assert {(secret.title, secret.text) for secret in list_secrets(case)} == {
        ("the secret 'partner'", json.dumps(PARTNER)),
        ("the secret 'partner'", "sS2-login"),
        ("the secret 'partner'", "sS2-password"),
        ("the secret 'lines'", "sS2-first\nsS2-second"),
        ("the parameter '/key'", "sS2-parameter"),
        ("the param 'own'", "sS2-default"),
    }
    register_secrets(case)
    assert redact_text("sS2-parameter of ada-lovelace") == f"{MASK} of ada-lovelace"


def test_each_place_is_named_without_the_secret(case: Case) -> None:
    (case.folder / "in.txt").write_text("sS2-login")
    (case.folder / "out").mkdir()
    (case.folder / "out" / "left.txt").write_text("and sS2-default")
    aws = FakeAws(
        in_a=b"x",
        log=base64.b64encode(b"xx sS2-parameter"),
        packed=gzip.compress(b"sS2-password"),
        broken=b"\x1f\x8b sS2-login",
    )
    output = "none\nlogin with sS2-password of ada-lovelace\nsS2-secret-key\n"
    shown = find(case, output, {"outputs": ["sS2-session-token"]}, aws)
    assert shown == [
        "the secret 'partner' in line 2 of the output",
        "the secret key of the job's session in line 3 of the output",
        "the token of the job's session in the result",
        "the param 'own' in the file out/left.txt",
        "the secret 'partner' in s3://landing/broken",
        "the parameter '/key' in s3://landing/log",
        "the secret 'partner' in s3://landing/packed",
    ]
    assert "sS2" not in str(shown)


def test_a_secret_of_several_lines_is_found_as_a_whole(case: Case) -> None:
    assert find(case, "key: sS2-first\nsS2-second\n") == [
        "the secret 'lines' in line 1 of the output",
        "the secret 'lines' in line 2 of the output",
    ]


def test_what_is_no_secret_is_not_found(case: Case) -> None:
    (case.folder / "in.txt").write_text("sS2-login")  # as it was given
    assert find(case, "ada-lovelace sS2-plain", {"status": "succeeded"}, FakeAws(in_a=b"x")) == []
