"""The files of a run in the sandbox: where each kind of package goes, and what is refused."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rolerunner.errors import SandboxError
from rolerunner.glue.rehearsal.sandboxed_files import fetch_files
from rolerunner.glue.rehearsal.sandboxed_run import SandboxedRun

if TYPE_CHECKING:
    from pathlib import Path


def archive(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in files.items():
            file.writestr(name.replace("__", "/"), content)
    return data.getvalue()


class FakeS3:
    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get_object(self, Bucket: str, Key: str) -> Any:  # noqa: N803 - as boto3 names it
        assert Bucket == "code"
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}


def make_run(**arguments: str) -> SandboxedRun:
    job = {
        "Command": {"Name": "pythonshell", "ScriptLocation": "s3://code/job.py"},
        "DefaultArguments": {
            f"--{name.replace('_', '-')}": each for name, each in arguments.items()
        },
    }
    return SandboxedRun(job, {"Id": "jr_1"}, "http://aws", "111122223333", "eu-west-1")


def test_wheels_are_unpacked_without_rolerunner_and_archives_stay(tmp_path: Path) -> None:
    wheel = archive(team__code=b"1", rolerunner__code=b"2")
    wheels = io.BytesIO()
    with zipfile.ZipFile(wheels, "w") as file:
        file.writestr("wheels/other-0-py3-none-any.whl", archive(other__code=b"3"))
        file.writestr("wheels/README", b"no wheel")
    objects = {"job.py": b"print()", "a.whl": wheel, "b.gluewheels.zip": wheels.getvalue()}
    s3 = FakeS3({**objects, "c.zip": archive(code=b"4")})
    run = make_run(
        additional_python_modules="s3://code/a.whl, boto3==1.40",
        extra_py_files="s3://code/b.gluewheels.zip,s3://code/c.zip",
    )
    files = fetch_files(run, s3, tmp_path)
    assert files.script.read_bytes() == b"print()"
    installed = {
        str(each.relative_to(files.installation)) for each in files.installation.glob("*/*")
    }
    assert installed == {"team/code", "other/code"}
    assert [each.name for each in files.code] == ["c.zip"]


def test_a_package_that_the_role_may_not_read_is_named(tmp_path: Path) -> None:
    run = make_run(extra_py_files="s3://code/none.zip")
    with pytest.raises(SandboxError, match=r"s3://code/none\.zip cannot be read .*: AccessDenied"):
        fetch_files(run, FakeS3({"job.py": b""}), tmp_path)
