"""Every run writes its result and exits with the documented status, whatever is raised."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from rolerunner import actions, api, wiring
from rolerunner.actions.base import Action, Field
from rolerunner.errors import RolesRefused, SpecError, UsageError
from rolerunner.observers.report import ReportPage
from rolerunner.observers.result import ResultFile
from rolerunner.run import runner, sequence
from tests.in_process import create_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.memory_aws import Store

HEAD = """
version: 1
name: ends
roles:
  reader: arn:aws:iam::444455556666:role/reader
  writer: arn:aws:iam::444455556666:role/writer
"""
RAISING = {
    "GeneratorExit": "raise GeneratorExit('x')",
    "SystemExit": "raise SystemExit(3)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "StopIteration": "raise StopIteration('x')",
    "RecursionError": "return run(*a, **k)",
    "MemoryError": "raise MemoryError",
    "Unprintable": (
        "raise type('Unprintable', (Exception,), {'__str__': lambda self: 1 / 0, "
        "'__repr__': lambda self: 1 / 0})()"
    ),
    "BaseException": "raise BaseException('x')",
    "nested": (
        "value = []\n    for _ in range(100_000): value = [value]\n    return {'deep': value}"
    ),
    "nan": "return {'a': float('nan')}",
    "set": "return {'a': {1, 2}}",
    "bytes": "return b'abc'",
    "datetime": "import datetime\n    return datetime.datetime.now()",
    "object": "return {'a': object()}",
    "key": "return {(1, 2): 3}",
    "huge": "return {'a': 10 ** 5000}",
    "infinity": "return [float('inf')]",
}
"""Name -> the body of a function whose step fails."""


def run(tmp_path: Path, spec: str, *observers: Any) -> dict[str, Any]:
    (tmp_path / "spec.yaml").write_text(HEAD + spec, encoding="utf-8")
    files = [ResultFile.at(tmp_path / "r.json"), ReportPage.at(tmp_path / "r.html")]
    api.run(api.load(tmp_path / "spec.yaml"), observers=[*observers, *files])
    return result(tmp_path)


def result(tmp_path: Path) -> dict[str, Any]:
    def refuse(name: str) -> Any:
        raise AssertionError(name)

    assert (tmp_path / "r.html").exists()
    read: dict[str, Any] = json.loads(
        (tmp_path / "r.json").read_text(encoding="utf-8"), parse_constant=refuse
    )
    return read


def statuses(read: dict[str, Any]) -> dict[str, str]:
    return {step["id"]: step["status"] for step in read["steps"]}


def step(read: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in read["steps"] if each["id"] == name)


PLACES = [
    (name, where)
    for name in RAISING
    for where in ("function", "import", "item")
    if where != "import" or RAISING[name].startswith("raise")
]


@pytest.mark.parametrize(("name", "where"), PLACES)
def test_whatever_a_function_raises_is_its_steps_failure(
    name: str, where: str, tmp_path: Path, memory_aws: Store
) -> None:
    body = RAISING[name]
    code = (
        f"def raising():\n    {body}\nraising()\ndef run(context): pass\n"
        if where == "import"
        else f"def run(*a, **k):\n    {body}\n"
    )
    (tmp_path / "job.py").write_text(code)
    loop = ", for_each: [1, 2], arguments: {x: '${{ item }}'}" if where == "item" else ""
    read = run(
        tmp_path,
        f"""
steps:
  - {{id: work, action: python.call, function: "job.py:run"{loop}}}
  - {{id: tell, action: s3.write, role: writer, when: on_failure, target: "s3://bucket/failed",
      text: "${{{{ run.error }}}}"}}
""",
    )
    assert read["status"] == "failed"
    assert statuses(read) == {"work": "failed", "tell": "succeeded"}
    assert b"work: " in memory_aws.bodies()["s3://bucket/failed"]
    assert step(read, "work")["attempts"] == 1


def test_the_users_own_frame_is_named_and_no_other(tmp_path: Path, memory_aws: Store) -> None:
    (tmp_path / "job.py").write_text(
        "import json\n\ndef run(context):\n    inner()\n\ndef inner():\n    json.loads('{')\n"
    )
    read = run(tmp_path, 'steps: [{id: work, action: python.call, function: "job.py:run"}]')
    hint = step(read, "work")["error"]["hint"].splitlines()
    assert [line.split(" in ")[0] for line in hint] == [
        f"{tmp_path}/job.py:4",
        f"{tmp_path}/job.py:7",
    ]


def test_the_users_own_frame_is_named_for_a_refused_call(tmp_path: Path, memory_aws: Store) -> None:
    (tmp_path / "job.py").write_text(
        "def run(context):\n    context.client('s3').get_object(Bucket='bucket', Key='absent')\n"
    )
    read = run(
        tmp_path, 'steps: [{id: work, action: python.call, role: reader, function: "job.py:run"}]'
    )
    assert f"{tmp_path}/job.py:2 in run" in step(read, "work")["error"]["hint"]
    assert "site-packages" not in step(read, "work")["error"]["hint"]


@pytest.mark.parametrize(
    ("code", "line"), [("x = 1\nimport nothing_of_this_name\n", 2), ("x = 1\n\ndef run(:\n", 3)]
)
def test_the_line_of_a_module_that_cannot_be_imported_is_named(
    code: str, line: int, tmp_path: Path, memory_aws: Store
) -> None:
    (tmp_path / "helper.py").write_text(code)
    (tmp_path / "job.py").write_text(
        "def run(context):\n"
        "    import sys\n"
        "    sys.path.insert(0, context.params['folder'])\n"
        "    import helper\n"
    )
    read = run(
        tmp_path,
        (
            f'params: {{folder: {{default: "{tmp_path}"}}}}\n'
            'steps: [{id: work, action: python.call, function: "job.py:run"}]'
        ),
    )
    sys.modules.pop("helper", None)
    assert f"helper.py:{line}" in step(read, "work")["error"]["hint"]


class Broken(Action):
    """An action of another package that raises wherever it is called."""

    kind: ClassVar[str] = "broken.action"
    outputs: ClassVar[Any] = None
    needs_role: ClassVar[bool] = False
    place: ClassVar[str] = ""
    error: ClassVar[Callable[[], BaseException]] = RuntimeError
    output: ClassVar[Any] = None

    x: int = Field(1, description="A number.", examples=[1])

    def _raise(self, place: str) -> None:
        if self.place == place:
            raise type(self).error()

    def run(self, context: Any) -> Mapping[str, Any]:
        self._raise("run")
        return {"x": type(self).output}

    def permissions(self) -> Mapping[str, Any]:
        self._raise("permissions")
        return {}

    def predict_outputs(self) -> Mapping[str, Any]:
        self._raise("predict_outputs")
        return {}

    def survey(self, context: Any) -> Mapping[str, Any]:
        self._raise("survey")
        return {}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> type[Broken]:
    known = dict(actions.registry())
    for module in (api, wiring):
        monkeypatch.setattr(module, "registry", lambda: {**known, Broken.kind: Broken})
    return Broken


ACTION = (
    "steps: [{id: work, action: broken.action}, {id: tell, action: s3.write, role: writer, "
    "when: always, target: 's3://bucket/end', text: x}]"
)


@pytest.mark.parametrize(
    "error", [RuntimeError, GeneratorExit, SystemExit, KeyboardInterrupt, StopIteration]
)
def test_whatever_an_action_raises_is_its_steps_failure(
    error: Any,
    broken: type[Broken],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    memory_aws: Store,
) -> None:
    monkeypatch.setattr(broken, "place", "run")
    monkeypatch.setattr(broken, "error", error)
    read = run(tmp_path, ACTION)
    assert statuses(read) == {"work": "failed", "tell": "succeeded"}
    assert step(read, "work")["error"]["type"] == error.__name__
    assert "test_exit_and_result.py" in step(read, "work")["error"]["hint"]


@pytest.mark.parametrize("place", ["permissions", "predict_outputs"])
def test_an_action_that_cannot_tell_its_permissions_runs(
    place: str,
    broken: type[Broken],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    memory_aws: Store,
) -> None:
    monkeypatch.setattr(broken, "place", place)
    assert statuses(run(tmp_path, ACTION)) == {"work": "succeeded", "tell": "succeeded"}


def test_an_action_that_cannot_be_surveyed_says_why(
    broken: type[Broken], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, memory_aws: Store
) -> None:
    monkeypatch.setattr(broken, "place", "survey")
    (tmp_path / "spec.yaml").write_text(HEAD + ACTION)
    found = api.survey(api.plan(api.load(tmp_path / "spec.yaml")))
    assert found["work"] == {"unknown": "RuntimeError"}


@pytest.mark.parametrize(
    "output",
    [float("nan"), {1, 2}, b"\xff", object(), {(1, 2): "\ud83d"}, 10**5000, "\udc80"],
    ids=range(7),
)
@pytest.mark.parametrize("state", ["", "state: {location: STATE}\n"])
def test_whatever_an_action_gives_the_result_is_written(
    state: str,
    output: Any,
    broken: type[Broken],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    memory_aws: Store,
) -> None:
    monkeypatch.setattr(broken, "output", output)
    read = run(tmp_path, state.replace("STATE", str(tmp_path / "state")) + ACTION)
    assert statuses(read)["tell"] == "succeeded"
    assert statuses(read)["work"] in (("succeeded", "failed") if state else ("succeeded",))


@pytest.mark.parametrize("error", [RuntimeError, GeneratorExit, SystemExit, OSError])
def test_an_observer_that_fails_costs_nothing(
    error: Any, tmp_path: Path, memory_aws: Store
) -> None:
    class Failing:
        def notify(self, event: Any) -> None:
            raise error

    read = run(
        tmp_path,
        "steps: [{id: tell, action: s3.write, role: writer, target: 's3://bucket/end', text: x}]",
        Failing(),
    )
    assert statuses(read) == {"tell": "succeeded"}


@pytest.mark.parametrize(
    "when",
    ["${{ steps.work.x / 0 }}", "${{ steps.work.x.y.z == 1 }}", "${{ steps.work.x | length > 1 }}"],
)
def test_a_condition_that_cannot_be_worked_out_fails_its_step(
    when: str, broken: type[Broken], tmp_path: Path, memory_aws: Store
) -> None:
    spec = f"""
steps:
  - {{id: work, action: broken.action}}
  - {{id: next, action: s3.write, role: writer, when: "{when}", target: "s3://bucket/next",
      text: x}}
  - {{id: tell, action: s3.write, role: writer, when: on_failure, target: "s3://bucket/end",
      text: x}}
"""
    assert statuses(run(tmp_path, spec)) == {
        "work": "succeeded",
        "next": "failed",
        "tell": "succeeded",
    }


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        '{"a": [Infinity, 1]}',
        "1e999",
        "[" * 900 + "]" * 900,
        "[" * 100_000 + "]" * 100_000,
        "1" * 5_000,
    ],
)
@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_an_object_that_is_no_json_fails_its_step(
    engine: str, text: str, tmp_path: Path, memory_aws: Store
) -> None:
    memory_aws.put("bucket", "in.json", text)
    spec = (
        f"engine: {engine}\n"
        """
steps:
  - {id: read, action: s3.read, role: reader, source: "s3://bucket/in.json"}
  - {id: tell, action: s3.write, role: writer, when: on_failure, target: "s3://bucket/end",
     text: "${{ run.error }}"}
"""
    )
    read = run(tmp_path, spec)
    assert statuses(read) == {"read": "failed", "tell": "succeeded"}
    assert step(read, "read")["error"]["type"] == "NotJson"
    assert "s3://bucket/in.json" in step(read, "read")["error"]["message"]


def test_half_a_surrogate_pair_is_read_and_written_as_it_is(
    tmp_path: Path, memory_aws: Store
) -> None:
    memory_aws.put("bucket", "in.json", '{"a": "\\ud83d"}')
    spec = """
steps:
  - {id: read, action: s3.read, role: reader, source: "s3://bucket/in.json"}
  - {id: json, action: s3.write, role: writer, target: "s3://bucket/out.json",
     json: "${{ steps.read.json }}"}
  - {id: text, action: s3.write, role: writer, target: "s3://bucket/out.txt",
     text: "${{ steps.read.json.a }}"}
"""
    read = run(tmp_path, spec)
    assert statuses(read) == {"read": "succeeded", "json": "succeeded", "text": "failed"}
    assert step(read, "text")["error"]["type"] == "NotText"
    assert json.loads(memory_aws.bodies()["s3://bucket/out.json"]) == {"a": "\ud83d"}


def test_a_list_of_a_million_values_is_counted_in_the_result(
    tmp_path: Path, memory_aws: Store
) -> None:
    (tmp_path / "job.py").write_text(
        "def run(context):\n    return {'numbers': list(range(1_000_000))}\n"
    )
    run(tmp_path, 'steps: [{id: work, action: python.call, function: "job.py:run"}]')
    assert (tmp_path / "r.json").stat().st_size < 2_000_000


# runs that end early


EARLY = "steps: [{id: a, action: s3.write, role: writer, target: 's3://bucket/end', text: x}]"


def command(tmp_path: Path, spec: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "spec.yaml").write_text(HEAD + spec)
    files = ["--result", "r.json", "--report", "r.html"]
    return subprocess.run(
        [sys.executable, "-m", "rolerunner", "run", "spec.yaml", *files, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )


def test_a_run_without_a_region_writes_its_result(
    tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert command(tmp_path, EARLY).returncode == 2
    assert "region" in result(tmp_path)["error"]["message"]
    assert statuses(result(tmp_path)) == {"a": "not_run"}


def test_a_run_whose_state_is_held_writes_its_result(tmp_path: Path, memory_aws: Store) -> None:
    spec = f"state: {{location: '{tmp_path}/state'}}\n" + EARLY
    assert command(tmp_path, spec, "--resume", "absent").returncode == 2
    assert "absent" in result(tmp_path)["error"]["message"]
    assert statuses(result(tmp_path)) == {"a": "not_run"}


def test_a_run_without_credentials_writes_its_result(
    tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert command(tmp_path, EARLY).returncode == 3
    assert statuses(result(tmp_path)) == {"a": "not_run"}


def test_a_spec_with_mistakes_writes_a_result(tmp_path: Path) -> None:
    assert command(tmp_path, "steps: [{id: a, action: s3.wrong}]").returncode == 2
    assert "s3.wrong" in result(tmp_path)["error"]["message"]


def test_an_exception_of_the_run_itself_writes_its_result(
    tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence.StepSequence, "_end_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, EARLY)
    assert result(tmp_path)["status"] == "failed"
    assert result(tmp_path)["error"]["type"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), MemoryError(), OSError(24, "Too many files")]
)
def test_a_limit_of_the_machine_before_the_first_step_is_no_bug(
    error: Exception, tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def assume(*_: Any) -> None:
        raise error

    monkeypatch.setattr(runner, "assume_roles", assume)
    with pytest.raises(UsageError, match="no step ran: no "):
        run(tmp_path, EARLY)
    assert result(tmp_path)["status"] == "failed"
    assert "no " in result(tmp_path)["error"]["message"]


# places that cannot be written


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/r.json", "a file exists where a folder is needed"),
        ("folder", "a folder exists where the file would be"),
        ("/proc/r.json", "/proc/r.json"),
        ("s3://bucket/r.json", "not to S3"),
    ],
)
@pytest.mark.parametrize("option", ["--result", "--report"])
def test_a_place_that_cannot_be_written_is_refused_before_the_run(
    option: str,
    place: str,
    reason: str,
    tmp_path: Path,
    memory_aws: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "spec.yaml").write_text(HEAD + EARLY)
    other = "--report" if option == "--result" else "--result"
    run_command = create_command(monkeypatch, capsys)
    done = run_command("run", "spec.yaml", option, place, other, "other")
    assert (done.returncode, memory_aws.bodies()) == (2, {})
    assert option in done.stderr
    assert reason in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "spec.yaml"}


LOSING = {
    "succeeded": ("", 4),
    "failed": ("; raise ValueError('x')", 4),
    "stopped": (
        "; os.kill(os.getpid(), 15); context.cancel.wait(60); context.cancel.stop_if_set()",
        143,
    ),
}
"""Status of a run -> what its function does after the folder is gone, and the exit status."""


@pytest.mark.parametrize("status", LOSING)
def test_a_result_that_no_file_takes_is_printed_and_fails_the_command(
    status: str, tmp_path: Path, memory_aws: Store
) -> None:
    body, expected = LOSING[status]
    (tmp_path / "job.py").write_text(
        "import os, shutil\ndef run(context):\n    shutil.rmtree('gone'); open('gone', 'w')" + body
    )
    spec = HEAD + 'steps: [{id: work, action: python.call, function: "job.py:run"}]'
    (tmp_path / "spec.yaml").write_text(spec)
    done = subprocess.run(
        [sys.executable, "-m", "rolerunner", "run", "spec.yaml", "--result", "gone/r.json"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == expected
    assert "could not be written" in done.stderr
    assert "a file exists where a folder is needed" in done.stderr
    assert json.loads(done.stderr[done.stderr.index("{\n") :])["status"] == status


# a refused role


def test_steps_for_failures_run_after_a_refused_role(tmp_path: Path, memory_aws: Store) -> None:
    from tests.memory_aws import error

    memory_aws.hook = lambda request: (
        error(403, "AccessDenied")
        if request.query.get("RoleArn", "").endswith("role/reader")
        else None
    )
    spec = """
steps:
  - {id: read, action: s3.read, role: reader, source: "s3://bucket/in.json"}
  - {id: write, action: s3.write, role: writer, target: "s3://bucket/out", text: x, needs: []}
  - {id: tell, action: s3.write, role: writer, when: on_failure, target: "s3://bucket/failed",
     text: "${{ run.error }}"}
  - {id: mine, action: s3.write, role: reader, when: on_failure, target: "s3://bucket/mine",
     text: x}
  - {id: always, action: s3.write, role: writer, when: always, target: "s3://bucket/always",
     text: x}
"""
    with pytest.raises(RolesRefused) as raised:
        run(tmp_path, spec)
    assert raised.value.ran_any
    read = result(tmp_path)
    assert read["status"] == "failed"
    assert statuses(read) == {
        "read": "not_run",
        "write": "not_run",
        "tell": "succeeded",
        "mine": "not_run",
        "always": "succeeded",
    }
    assert set(memory_aws.bodies()) == {"s3://bucket/failed", "s3://bucket/always"}
    assert b"reader" in memory_aws.bodies()["s3://bucket/failed"]


def test_a_validator_of_another_package_that_raises_is_a_mistake_with_its_place(
    broken: type[Broken], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr(broken, "model_validate", fail)
    (tmp_path / "spec.yaml").write_text(HEAD + ACTION)
    with pytest.raises(SpecError, match=r"spec\.yaml:7:9: validation failed: KeyError: 'x'"):
        api.load(tmp_path / "spec.yaml")
