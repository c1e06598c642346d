"""Many objects go from ``s3.list`` to ``s3.copy`` in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fake_s3 import Request, Response, start_fake_s3

COUNT = int(os.environ.get("ROLERUNNER_TEST_OBJECTS", "300000"))
"""A leak of 200 bytes per object would show; a release is tested with a million."""
SPEC = """version: 1
name: million
steps:
  - {id: find, action: s3.list, role: job, source: s3://source-bucket/in/}
  - id: copy
    action: s3.copy
    role: job
    objects: "${{ steps.find.objects }}"
    target: s3://target-bucket/in/
    if_exists: skip
"""
ONE = (
    "<Contents><Key>in/{:09d}.csv</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>"
    "<Size>10</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def respond_with_page(request: Request) -> Response:
    """A thousand keys; one, the last, is not at the target."""
    if "list-type" not in request.query:
        return (
            Response(b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>")
            if request.operation == "PUT"
            else Response(status=404)
        )
    start = int(request.query.get("continuation-token", ["0"])[0])
    count = COUNT if request.bucket == "source-bucket" else COUNT - 1
    end = min(start + 1000, count)
    more = (
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
        if end < count
        else "<IsTruncated>false</IsTruncated>"
    )
    contents = "".join(map(ONE.format, range(start, end)))
    return Response(f"<ListBucketResult>{more}{contents}</ListBucketResult>".encode())


def measure_peak_memory(process: subprocess.Popen[bytes]) -> float:
    """Returns the peak memory of a process in MB.

    ru_maxrss would include the memory of the test, of which the process began as a copy.
    """
    peak = 0
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):  # the high-water mark: the last look has all
                peak = int(line.split()[1])
        time.sleep(0.1)
    return peak / 1024


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="the high-water mark of a process is read from /proc",
)
def test_many_objects_pass_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(SPEC)
    with start_fake_s3(respond_with_page) as (client, requests):
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": client.meta.endpoint_url,
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_REGION": "eu-west-1",
            "TMPDIR": str(tmp_path),
        }
        command = [sys.executable, "-m", "rolerunner", "run", "job.yaml", "--result", "r.json"]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=log, stderr=log
            )
            peak = measure_peak_memory(process)
        del requests[:]
    assert process.returncode == 0, (tmp_path / "log").read_text()[-3000:]
    find, copy = json.loads((tmp_path / "r.json").read_text())["steps"]
    assert find["outputs"]["count"] == COUNT
    assert (copy["outputs"]["count"], copy["outputs"]["skipped"]) == (1, COUNT - 1)
    assert peak < 150, f"{peak:.0f} MB"
    print(f"{peak:.0f} MB, listed in {find['seconds']} s, passed in {copy['seconds']} s")
