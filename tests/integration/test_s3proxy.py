"""The S3 actions on S3Proxy, which has no tags, no parts of objects and no conditional copies."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from tests.s3proxy import KEYS, find_s3proxy, serve_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolerunner.model import StepResult

    RunStep = Callable[..., StepResult]

pytestmark = [pytest.mark.slow, pytest.mark.once]

SOURCE, TARGET = "s3://source-bucket/", "s3://target-bucket/"
LARGE = os.urandom(1 << 20) * 17
FILES = {"a b+c%.txt": b"plus", "deep/\u00fc.txt": b"umlaut", "empty": b"", "large.bin": LARGE}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    jar = find_s3proxy()
    if jar is None:
        pytest.skip("S3Proxy needs Java, and Maven to fetch it")
    folder = tmp_path_factory.mktemp("s3proxy") / "data"
    for uri in (SOURCE, TARGET):
        (folder / uri[5:-1]).mkdir(parents=True)
    with serve_folder(jar, folder) as address:
        yield address


@pytest.fixture(params=["fast", pytest.param("boto3", marks=pytest.mark.release)])
def step(request: pytest.FixtureRequest, endpoint: str, tmp_path: Path) -> RunStep:
    def run_step(action: str, **fields: Any) -> StepResult:
        path = tmp_path / "job.yaml"
        each = {"id": "it", "action": action, "role": "job", **fields}
        spec = {"version": 1, "name": "t", "engine": request.param, "steps": [each]}
        spec["state"] = {"location": f"{TARGET}state/", "role": "job"}
        path.write_text(json.dumps(spec))
        identity = JobIdentity("us-east-1", keys=Keys(*KEYS), endpoints={"": endpoint})
        return api.run(api.load(path), identity=identity).steps[0]

    return run_step


def test_objects_are_moved_whole_and_no_target_is_overwritten(
    step: RunStep, tmp_path: Path
) -> None:
    def check_count(action: str, count: int, **fields: Any) -> None:
        done = step(action, **fields)
        assert (done.error, done.outputs.get("count")) == (None, count), (action, fields)

    for name, body in FILES.items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    everything = {"source": f"{SOURCE}in/", "target": f"{TARGET}out/"}
    check_count("s3.upload", 4, source=f"{tmp_path}/files/", target=f"{SOURCE}in/")
    check_count("s3.copy", 4, **everything, multipart_above="8MiB", part_size="8MiB")
    check_count("s3.copy", 4, **everything, compress="gzip")
    for name in ("empty", "large.bin"):
        one = {"source": f"{SOURCE}in/{name}", "target": f"{TARGET}out/{name}"}
        again = step("s3.copy", **one, if_exists="fail", multipart_above="8MiB")
        assert again.error is not None
        assert again.error.type == "AlreadyThere"
    check_count("s3.concat", 4, source=f"{SOURCE}in/", target=f"{TARGET}whole")
    check_count("s3.pack", 4, source=f"{SOURCE}in/", target=f"{TARGET}packed.tar.gz")
    check_count("s3.unpack", 4, source=f"{TARGET}packed.tar.gz", target=f"{TARGET}unpacked/")
    check_count("s3.copy", 4, source=f"{TARGET}unpacked/", target=f"{TARGET}moved/", move=True)
    check_count("s3.download", 4, source=f"{TARGET}moved/", target=f"{tmp_path}/back/")
    for name, body in FILES.items():
        assert (tmp_path / "back" / name).read_bytes() == body
    for folder in (f"{SOURCE}in/", f"{TARGET}moved/", f"{TARGET}out/"):
        assert step("s3.delete", source=folder, max_delete=9).error is None
    assert step("s3.list", source=f"{SOURCE}in/", on_empty="ok").outputs["count"] == 0


def test_what_the_server_does_not_have_is_an_error_with_a_remedy(step: RunStep) -> None:
    done = step("s3.write", target=f"{TARGET}tagged", text="x", tags={"team": "orders"})
    assert done.error is not None
    assert (done.error.type, "docs/servers.md" in done.error.hint) == ("NotImplemented", True)
