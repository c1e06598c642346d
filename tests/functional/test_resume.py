"""Resume: completed steps are not repeated, and a kill at any moment is recovered."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.errors import StateHeld, StepError, UsageError
from rolerunner.run.state.stores import FolderStore
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.model import RunResult

ACCOUNT = "111122223333"
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions:
      - {{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}
      - {{Effect: Allow, Action: "s3:*", Resource: ["arn:aws:s3:::data-bucket",
          "arn:aws:s3:::data-bucket/*"]}}
  - arn: arn:aws:iam::{ACCOUNT}:role/keeper
    trust: [{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}},
            Action: sts:AssumeRole}}]
    permissions:
      - {{Effect: Allow, Action: ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
          Resource: "arn:aws:s3:::ops-bucket/state/t/*"}}
      - {{Effect: Allow, Action: "s3:ListBucket", Resource: "arn:aws:s3:::ops-bucket",
          Condition: {{StringLike: {{"s3:prefix": "state/t/*"}}}}}}
buckets:
  - {{name: ops-bucket, account: "{ACCOUNT}"}}
  - {{name: data-bucket, account: "{ACCOUNT}",
      objects: [{{key: in/a.txt, text: aa}}, {{key: in/b.txt, text: b}}]}}
"""
KEEPER = f"arn:aws:iam::{ACCOUNT}:role/keeper"
FUNCTIONS = """
import signal, threading, time
from pathlib import Path

def say(context, value=None):
    return {"value": value}

def fails_unless(context, path):
    if not Path(path).exists():
        raise ValueError("partner is late")
    return {"ok": True}

def count(context, path):
    with Path(path).open("a") as file:
        file.write("x")
    return {"times": Path(path).stat().st_size}

def deaf(context, seconds):
    Path("began").touch()
    time.sleep(seconds)

def wait(context, seconds):
    context.cancel.wait(seconds)

def signalled_elsewhere(context, seconds):
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(seconds)
"""


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "state_code.py").write_text(FUNCTIONS)
    yield
    sys.modules.pop("state_code", None)


def render_state(where: str, tmp_path: Path) -> str:
    if where == "folder":
        return f"state: {{location: {tmp_path}/state, stale_after: 4s}}\n"
    return f"state: {{location: s3://ops-bucket/state/, role: '{KEEPER}', stale_after: 4s}}\n"


def write(tmp_path: Path, steps: str, where: str = "folder", top: str = "") -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(f"version: 1\nname: t\n{render_state(where, tmp_path)}{top}steps:\n{steps}")
    return path


def render_step(id_: str, function: str, more: str = "", **arguments: Any) -> str:
    tail = f", {more}" if more else ""
    return (
        f"  - {{id: {id_}, action: python.call, function: 'state_code:{function}', "
        f"arguments: {json.dumps(arguments)}{tail}}}\n"
    )


def list_statuses(result: RunResult) -> dict[str, tuple[str, str]]:
    return {step.id: (step.status, step.reason) for step in result.steps}


LIST = "  - {id: find, action: s3.list, role: job, source: s3://data-bucket/in/}\n"


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_resumed_run_does_what_is_left(where: str, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    fetch = (
        "  - {id: fetch, action: s3.download, role: job, "
        f"objects: '${{{{ steps.find.objects }}}}', target: {tmp_path}/out/}}\n"
    )
    steps = (
        LIST
        + fetch
        + render_step("counted", "count", path=f"{tmp_path}/count")
        + render_step("late", "fails_unless", path=f"{tmp_path}/partner")
        + render_step("last", "say", value="${{ steps.counted.times }} ${{ run.id }}")
    )
    path = write(tmp_path, steps, where)
    first = api.run(api.load(path), identity=identity_of(aws), run_key=f"key-{where}")
    assert (first.status, first.steps[3].status, first.steps[4].status) == (
        "failed",
        "failed",
        "not_run",
    )
    (tmp_path / "partner").touch()
    second = api.run(api.load(path), identity=identity_of(aws), run_key=f"key-{where}", resume=True)
    assert second.status == "succeeded"
    reason = f"completed by run {first.run_id}"
    assert list_statuses(second) == {
        "find": ("skipped", reason),
        "fetch": ("skipped", reason),
        "counted": ("skipped", reason),
        "late": ("succeeded", ""),
        "last": ("succeeded", ""),
    }
    assert [info.key for info in second.steps[0].outputs["objects"]] == ["in/a.txt", "in/b.txt"], (
        "lists come back"
    )
    assert second.steps[4].outputs["value"].startswith("1 ")
    assert (tmp_path / "count").read_text() == "x"
    third = api.run(api.load(path), identity=identity_of(aws), run_key=f"key-{where}")
    assert {status for status, _ in list_statuses(third).values()} == {"skipped"}, (
        "another run id alone changes nothing"
    )


def test_what_changed_is_done_again_with_what_depends_on_it(tmp_path: Path) -> None:
    class Notes:
        def __init__(self) -> None:
            self.said: dict[str, str] = {}

        def notify(self, event: Any) -> None:
            if type(event).__name__ == "Note" and event.message == "done_again":
                self.said[event.step_id] = event.values["reason"]

    def steps(value: int) -> str:
        return (
            render_step("a", "say", value=1)
            + render_step("b", "say", "needs: [a]", value=value)
            + render_step("c", "say", "needs: [b]")
            + render_step("d", "say", "needs: [a]")
        )

    assert api.run(api.load(write(tmp_path, steps(1))), run_key="k").status == "succeeded"
    notes = Notes()
    second_run = api.run(api.load(write(tmp_path, steps(2))), run_key="k", observers=[notes])
    assert {id_: status for id_, (status, _) in list_statuses(second_run).items()} == {
        "a": "skipped",
        "b": "succeeded",
        "c": "succeeded",
        "d": "skipped",
    }
    assert notes.said == {
        "b": "its 'arguments' changed",
        "c": "it depends on 'b', which runs again",
    }


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_steps_that_found_nothing_are_stored_too(
    where: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    none, target = "s3://data-bucket/none/", "s3://data-bucket/nowhere/"
    steps = "".join(
        f"  - {{id: {id_}, action: {action}, role: job, on_empty: ok, {fields}}}\n"
        for id_, action, fields in (
            ("find", "s3.list", f"source: {none}"),
            ("fetch", "s3.download", f"source: {none}, target: {tmp_path}/out/"),
            ("publish", "s3.upload", f"source: {tmp_path}/none/, target: {target}"),
            ("duplicate", "s3.copy", f"source: {none}, target: {target}"),
            ("move", "s3.copy", f"source: {none}, target: {target}, move: true"),
            ("remove", "s3.delete", f"source: {none}, max_delete: 1"),
            ("again", "s3.copy", f"objects: '${{{{ steps.move.objects }}}}', target: {target}"),
        )
    )
    path = write(tmp_path, steps, where)
    for status in ("succeeded", "skipped"):
        result = api.run(api.load(path), identity=identity_of(aws), run_key=f"empty-{where}")
        assert {step.id: (step.status, step.error) for step in result.steps} == {
            step.id: (status, None) for step in result.steps
        }


def test_files_that_are_gone_are_fetched_again(aws: sandbox.Sandbox, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        (
            "  - {id: fetch, action: s3.download, role: job, source: s3://data-bucket/in/, "
            f"target: {tmp_path}/out/}}\n"
        )
        + render_step("b", "say"),
    )
    assert api.run(api.load(path), identity=identity_of(aws), run_key="k").status == "succeeded"
    for file in (tmp_path / "out").iterdir():
        file.unlink()
    (tmp_path / "out").rmdir()
    second_run = api.run(api.load(path), identity=identity_of(aws), run_key="k")
    assert {status for status, _ in list_statuses(second_run).values()} == {"succeeded"}
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.txt", "b.txt"]


def test_only_some_steps(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        render_step("a", "say", value=5)
        + render_step("b", "say", value="${{ steps.a.value }}")
        + render_step("c", "say"),
    )
    with pytest.raises(UsageError, match="reads from 'a'"):
        api.run(api.load(path), only=["b"])
    assert api.run(api.load(path), run_key="k").status == "succeeded"
    result = api.run(api.load(path), run_key="k", only=["b"])
    assert {id_: status for id_, (status, _) in list_statuses(result).items()} == {
        "a": "skipped",
        "b": "succeeded",
        "c": "skipped",
    }
    assert result.steps[1].outputs == {"value": 5}


def test_mistakes_with_keys(tmp_path: Path, rolerunner: Any) -> None:
    path = write(tmp_path, render_step("a", "say"))
    for arguments, message in (
        (["--resume", "none"], "there is no state for the run key 'none' of job 't'"),
        (["--run-key", "../up"], "is not a valid run key"),
        (["--run-key", "a", "--resume", "a"], "exclude each other"),
        (["--only", "aa"], "there is no step 'aa' (did you mean 'a'?)"),
    ):
        result = rolerunner("run", path, *arguments)
        assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    (tmp_path / "state/t").mkdir(parents=True, exist_ok=True)
    (tmp_path / "state/t/bad.json").write_text("{")
    assert "is damaged" in rolerunner("run", path, "--resume", "bad").stderr
    (tmp_path / "plain.yaml").write_text("version: 1\nname: t\nsteps:\n" + render_step("a", "say"))
    assert "keeps no state" in rolerunner("run", "plain.yaml", "--resume", "k").stderr


def start(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rolerunner", "run", "job.yaml", "--result", "r.json", *arguments],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp_path), **environment},
    )


def wait_for_line(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    raise AssertionError(f"no {word}")


def wait_for_deaf_step(tmp_path: Path) -> None:
    """Waits for the function ``deaf``; a step that is stopped earlier does not call it."""
    deadline = time.monotonic() + 60
    while not (tmp_path / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_of_a_key_is_told_who_holds_it(tmp_path: Path) -> None:
    path = write(tmp_path, render_step("a", "wait", seconds=60))
    process = start(tmp_path, "--run-key", "k")
    try:
        wait_for_line(process, "step_started")
        with pytest.raises(
            StateHeld,
            match=rf"held by run \S+ on \S+ \(process {process.pid}\) since .*--take-over",
        ):
            api.run(api.load(path), run_key="k")
        time.sleep(5)  # longer than it takes to be stale: it is renewed meanwhile
        with pytest.raises(StateHeld):
            api.run(api.load(path), run_key="k")
        write(tmp_path, render_step("a", "say"))
        assert api.run(api.load(path), run_key="k", take_over=True).status == "succeeded"
        out, _ = process.communicate(timeout=15)
        assert process.returncode == 4
        assert "has taken over the state" in out
        document = json.loads((tmp_path / "state/t/k.json").read_text())
        assert (document["holder"]["run_id"], list(document["steps"])) == ("", ["a"]), (
            "the one that was taken over writes nothing more"
        )
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_function_that_ignores_the_signal_does_not_hold_the_run(
    number: signal.Signals, tmp_path: Path
) -> None:
    write(
        tmp_path,
        render_step("a", "say")
        + render_step("deaf", "deaf", seconds=60)
        + render_step("after", "say"),
    )
    process = start(tmp_path, "--run-key", "k")
    wait_for_deaf_step(tmp_path)
    started_at = time.monotonic()
    process.send_signal(number)
    out, _ = process.communicate(timeout=15)
    assert time.monotonic() - started_at < 5
    assert process.returncode == 128 + number
    assert "--resume k" in out
    result = json.loads((tmp_path / "r.json").read_text())
    assert (result["status"], [step["status"] for step in result["steps"]]) == (
        "stopped",
        ["succeeded", "failed", "not_run"],
    )
    document = json.loads((tmp_path / "state/t/k.json").read_text())
    assert (document["holder"]["run_id"], list(document["steps"])) == ("", ["a"])


def test_a_signal_that_wakes_another_thread_is_not_left_lying(tmp_path: Path) -> None:
    write(tmp_path, render_step("deaf", "signalled_elsewhere", seconds=20))
    process = start(tmp_path)
    wait_for_line(process, "step_started")
    started_at = time.monotonic()
    process.communicate(timeout=30)
    assert (process.returncode, time.monotonic() - started_at < 5) == (143, True)


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    write(tmp_path, render_step("deaf", "deaf", seconds=60))
    process = start(tmp_path)
    wait_for_deaf_step(tmp_path)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    assert process.returncode == 143
    assert not (tmp_path / "r.json").exists(), "it did not even wait to write the result"


CRASH = """
  - {{id: find, action: s3.list, role: job, source: s3://data-bucket/crash/in/}}
  - {{id: fetch, action: s3.download, role: job, objects: "${{{{ steps.find.objects }}}}",
      target: {tmp}/raw/}}
  - {{id: publish, action: s3.upload, role: job, source: {tmp}/raw/,
      target: s3://data-bucket/crash/out/}}
  - {{id: move, action: s3.copy, role: job, source: s3://data-bucket/crash/out/,
      target: s3://data-bucket/crash/done/, move: true}}
  - {{id: counted, action: s3.write, role: job, target: s3://data-bucket/crash/_DONE,
      text: "${{{{ steps.find.count }}}} ${{{{ steps.find.bytes }}}}"}}
"""


def kill_until_done(
    kills: int, aws: sandbox.Sandbox, tmp_path: Path, seed: int, takes: float = 0
) -> tuple[int, dict[str, bytes], dict[str, bytes], float]:
    """Kill a run that ``takes`` so many seconds again and again at random moments, then let it end.

    Returns the number of kills, the objects and files at the end, and the observed seconds of a run
    that is not killed.
    """
    s3 = aws.client("s3", ACCOUNT)
    for each in s3.list_objects_v2(Bucket="data-bucket", Prefix="crash/").get("Contents", ()):
        s3.delete_object(Bucket="data-bucket", Key=each["Key"])
    for number in range(30):
        s3.put_object(
            Bucket="data-bucket", Key=f"crash/in/{number:02}", Body=str(number).encode() * 1000
        )
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "state_code.py").write_text(FUNCTIONS)
    write(tmp_path, CRASH.format(tmp=tmp_path), "bucket")
    keys = aws.job_keys
    environment = {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": aws.region,
    }
    moments = random.Random(seed)
    killed = 0
    for attempt in range(kills + 5):
        started_at = time.monotonic()
        process = start(tmp_path, "--run-key", f"crash-{seed}", **environment)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(takes / 4, takes) if attempt < kills else 60)
        if process.poll() is None:
            killed += 1
            process.kill()
            process.communicate()
            continue
        takes = time.monotonic() - started_at if attempt == 0 else takes
        out, _ = process.communicate()
        if process.returncode == 0:
            break
    assert process.returncode == 0, out
    listed = s3.list_objects_v2(Bucket="data-bucket", Prefix="crash/").get("Contents", ())
    objects = {
        each["Key"]: s3.get_object(Bucket="data-bucket", Key=each["Key"])["Body"].read()
        for each in listed
    }
    files = {
        path.name: path.read_bytes()
        for path in (tmp_path / "raw").iterdir()
        if not path.name.startswith(".rolerunner-")
    }
    assert not s3.list_multipart_uploads(Bucket="data-bucket").get("Uploads")
    return killed, objects, files, takes


@pytest.mark.parametrize(
    "kills",
    [
        3,
        pytest.param(6, marks=pytest.mark.slow),
        # the releases' share: each kill costs three starts of the command
        pytest.param(50, marks=[pytest.mark.slow, pytest.mark.release]),
    ],
)
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(
    kills: int, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    _, clean_objects, clean_files, takes = kill_until_done(0, aws, tmp_path / "clean", kills * 1000)
    assert (len(clean_objects), len(clean_files)) == (61, 30)
    killed = round_ = 0
    while killed < kills:
        round_ += 1
        count, objects, files, takes = kill_until_done(
            min(kills - killed, 5), aws, tmp_path / f"killed-{round_}", kills * 1000 + round_, takes
        )
        killed += count
        assert objects == clean_objects
        assert files == clean_files
    print(f"killed {killed} times")


@pytest.mark.parametrize(("on_error", "status"), [("fail", 4), ("continue", 0)])
def test_a_run_with_a_failed_step_prints_how_to_resume_it(
    on_error: str, status: int, rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "state_code.py").write_text("def fails(context):\n    raise ValueError('x')\n")
    path = write(tmp_path, render_step("a", "fails", f"on_error: {on_error}"))
    completed = rolerunner("run", path, "--run-key", "night")
    assert completed.returncode == status
    assert "rolerunner: resume with: --resume night\n" in completed.stderr


def test_a_run_without_a_failed_step_prints_no_way_to_resume_it(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "state_code.py").write_text("def says(context):\n    return 1\n")
    completed = rolerunner("run", write(tmp_path, render_step("a", "says")))
    assert (completed.returncode, completed.stderr) == (0, "")


REMOVALS = {
    "move": "action: s3.copy, source: 's3://data-bucket/gone/', target: 's3://data-bucket/to/', "
    "move: true",
    "deletion": "action: s3.delete, source: 's3://data-bucket/gone/', max_delete: 9",
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_source_that_the_step_has_removed_is_no_error(
    removal: str, aws: sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = aws.client("s3", ACCOUNT)
    client.put_object(Bucket="data-bucket", Key="gone/a.txt", Body=b"a")
    job = api.load(write(tmp_path, f"  - {{id: out, role: job, {REMOVALS[removal]}}}\n"))

    def run() -> RunResult:
        return api.run(job, identity=identity_of(aws), run_key="k", take_over=True)

    write_state = FolderStore.write

    def die_at_record(self: FolderStore, name: str, data: bytes, etag: str) -> str:
        if json.loads(data)["steps"]:
            raise StepError("as if the process had ended before this")
        return write_state(self, name, data, etag)

    with monkeypatch.context() as broken:
        broken.setattr(FolderStore, "write", die_at_record)
        assert run().status == "failed"
    assert "Contents" not in client.list_objects_v2(Bucket="data-bucket", Prefix="gone/")
    resumed = run()
    assert (resumed.status, resumed.steps[0].outputs["count"]) == ("succeeded", 0)


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_source_that_nobody_removed_is_an_error_of_a_resumed_run_too(
    removal: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    steps = render_step("late", "fails_unless", path=str(flag))
    steps += f"  - {{id: out, role: job, {REMOVALS[removal].replace('gone', 'never')}}}\n"
    job = api.load(write(tmp_path, steps))
    assert api.run(job, identity=identity_of(aws), run_key="k").status == "failed"
    flag.touch()
    resumed = api.run(job, identity=identity_of(aws), run_key="k")
    assert [step.status for step in resumed.steps] == ["succeeded", "failed"]
    error = resumed.steps[1].error
    assert error is not None
    assert error.type == "EmptySource"
