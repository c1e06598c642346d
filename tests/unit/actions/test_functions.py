"""Functions of users: how they are found and called, and what their failures say."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.actions.functions import FunctionContext, call_function, load_function
from rolerunner.errors import FunctionFailed, NotFound, StepError
from rolerunner.model import Role
from tests.unit.actions.context import Recorded, make_context

ROLE = Role("arn:aws:iam::111122223333:role/r", "r")


def call(folder: Path, source: str, context: Any = None, **arguments: Any) -> Any:
    (folder / "job.py").write_text(source)
    context = context or make_context(folder)
    return call_function("job.py:f", load_function("job.py:f", context), arguments, context)


@pytest.mark.parametrize(
    ("returned", "outputs"),
    [
        ("None", {}),
        ("{'a': [1, None]}", {"a": [1, None]}),
        ("7", {"result": 7}),
        ("[]", {"result": []}),
        ("{}", {}),
    ],
)
def test_what_a_function_returns_are_its_outputs(
    tmp_path: Path, returned: str, outputs: dict[str, Any]
) -> None:
    assert call(tmp_path, f"def f(context): return {returned}") == outputs


@pytest.mark.parametrize("returned", ["{1, 2}", "float('nan')", "{'a': object()}", "b'x'"])
def test_outputs_have_a_json_form(tmp_path: Path, returned: str) -> None:
    with pytest.raises(
        FunctionFailed, match=r"what 'job\.py:f' returned has no JSON form"
    ) as caught:
        call(tmp_path, f"def f(context): return {returned}")
    assert caught.value.hint == "return a dict of plain values"


def test_arguments_are_given_by_name(tmp_path: Path) -> None:
    assert call(tmp_path, "def f(context, a, b=2): return [a, b]", a=1) == {"result": [1, 2]}


@pytest.mark.parametrize(
    ("body", "message", "kind", "hint"),
    [
        ("raise KeyError('x')", "'job.py:f' raised KeyError: 'x'", "KeyError", ":1 in f: "),
        (
            "import sys; sys.exit(3)",
            "'job.py:f' called sys.exit(3)",
            "FunctionFailed",
            "return, or raise an exception\n",
        ),
        (
            "raise KeyboardInterrupt",
            "'job.py:f' raised KeyboardInterrupt: ",
            "KeyboardInterrupt",
            "",
        ),
    ],
)
def test_whatever_a_function_raises_ends_its_step_alone(
    tmp_path: Path, body: str, message: str, kind: str, hint: str
) -> None:
    with pytest.raises(FunctionFailed) as caught:
        call(tmp_path, f"def f(context): {body}")
    assert (caught.value.message, caught.value.type) == (message, kind)
    assert hint in caught.value.hint


def test_a_missing_awsglue_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "awsglue", None)
    for source in (
        "import awsglue.context",
        "def f(context):\n    from awsglue.context import GlueContext",
    ):
        with pytest.raises(FunctionFailed) as caught:
            call(tmp_path, source)
        assert "awsglue is part of Glue; install rolerunner[glue-local]" in caught.value.hint
        assert "job.py:" in caught.value.hint


def test_a_failure_of_ours_is_passed_through(tmp_path: Path) -> None:
    error = NotFound("none")
    context = make_context(tmp_path)

    def fail(_: FunctionContext) -> None:
        raise error

    with pytest.raises(NotFound) as caught:
        call_function("job.py:f", fail, {}, context)
    assert caught.value is error


def test_an_error_of_aws_is_explained(tmp_path: Path) -> None:
    source = (
        "from botocore.exceptions import ClientError\n"
        "def f(context): raise ClientError("
        "{'Error': {'Code': 'AccessDenied', 'Message': 'no'}}, 'GetObject')"
    )
    with pytest.raises(FunctionFailed, match=r"'job\.py:f' raised ClientError: ") as caught:
        call(tmp_path, source, make_context(tmp_path, roles={"role": ROLE}))
    assert caught.value.type == "AccessDenied"
    assert f"{tmp_path}/job.py:2 in f" in caught.value.hint


def test_a_function_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("g = 1\n")
    context = make_context(tmp_path)
    with pytest.raises(FunctionFailed, match="has no function 'g'"):
        load_function("job.py:g", context)
    with pytest.raises(FunctionFailed, match="there is no file"):
        load_function("none.py:f", context)
    with pytest.raises(FunctionFailed, match="'no_module_x9:f' cannot be imported") as caught:
        load_function("no_module_x9:f", context)
    assert caught.value.hint.startswith("it is searched beside the spec")
    (tmp_path / "job.py").write_text("1 / 0  # another size than before, so compiled again\n")
    with pytest.raises(FunctionFailed, match="raised ZeroDivisionError"):
        load_function("job.py:f", context)


def test_modules_beside_the_spec_are_importable_while_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "beside_x9.py").write_text("def f(context): return 1\n")
    before = list(sys.path)
    try:
        assert load_function("beside_x9:f", make_context(tmp_path)).__module__ == "beside_x9"
    finally:
        sys.modules.pop("beside_x9", None)
    assert sys.path == before


def test_a_step_without_a_role_has_no_session(tmp_path: Path) -> None:
    sessions = SimpleNamespace(session=str, client=str)
    context = FunctionContext.of(make_context(tmp_path, sessions=sessions))
    with pytest.raises(StepError, match="this step has no role") as caught:
        _ = context.session
    assert caught.value.type == "NoRole"
    with pytest.raises(StepError):
        context.client("s3")


def test_clients_are_of_the_steps_role_and_messages_of_the_step(tmp_path: Path) -> None:
    sessions = SimpleNamespace(
        session=lambda role: ("session", role),
        client=lambda role, service, region: (service, region, role),
    )
    recorded = Recorded()
    step = make_context(tmp_path, recorded, roles={"role": ROLE}, sessions=sessions)
    context = FunctionContext.of(step)
    assert context.session == ("session", ROLE)
    assert context.client("sqs", "eu-west-1") == ("sqs", "eu-west-1", ROLE)
    context.log("hello", n=1)
    context.progress(3, 5)
    assert recorded.notes == [("info", "hello", {"n": 1})]
    (progress,) = recorded.progress
    assert (progress.step_id, progress.objects, progress.total_objects) == ("work", 3, 5)


def test_a_function_imports_a_module_beside_its_spec_when_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "beside_the_spec.py").write_text("VALUE = 3")
    source = "def f(context):\n    import beside_the_spec\n    return beside_the_spec.VALUE"
    try:
        assert call(tmp_path, source) == {"result": 3}
    finally:
        sys.modules.pop("beside_the_spec", None)


def test_the_code_of_another_spec_is_not_run_for_this_one(tmp_path: Path) -> None:
    for name in ("north", "south"):
        (tmp_path / "specs" / name / "jobs").mkdir(parents=True)
        source = f"def f(context): return '{name}'"
        (tmp_path / "specs" / name / "jobs" / "same_name.py").write_text(source)
    north = make_context(tmp_path / "specs" / "north" / "jobs")
    south = make_context(tmp_path / "specs" / "south" / "jobs")
    try:
        function = load_function("same_name:f", north)
        assert load_function("same_name:f", north) is function
        with pytest.raises(
            FunctionFailed, match=r"'same_name' was imported from .*north"
        ) as caught:
            load_function("same_name:f", south)
        assert "rename one of them, or name the file" in str(caught.value)
        assert load_function("same_name.py:f", south)(None) == "south"
    finally:
        sys.modules.pop("same_name", None)
