"""Deletions in both engines: moves, failed keys of a batch, keys that XML cannot hold."""

from __future__ import annotations

import json
import re
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import Credentials

from rolerunner import api
from rolerunner.actions.builtin.s3_copy import S3Copy
from rolerunner.actions.copy_items import CopyItems
from rolerunner.actions.source_objects import SourceObjects
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import SpecError
from rolerunner.model import JOB, S3Uri
from rolerunner.selection.manifest import placeholder_list
from rolerunner.storage import deletions
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.protocol import ObjectInfo
from tests.memory_aws import Response, error, xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.storage.protocol import Outcome
    from tests.memory_aws import Request, Store

ROLES = {
    "reader": "arn:aws:iam::444455556666:role/reader",
    "writer": "arn:aws:iam::444455556666:role/writer",
}
STRANGE = [
    "a\x01b",
    "a\rb",
    "a\x0bb",
    "a\ufffeb",
    "\x1f",
    "a\nb",
    "a\tb",
    "<&>'\"",
    " blank ",
    "\U0001f600",
    "plain",
]


@pytest.fixture(params=["fast", "boto3"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def storage(engine: str, memory_aws: Store) -> Any:
    config = Config(
        s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 3}
    )
    client = boto3.client("s3", "eu-west-1", endpoint_url=memory_aws.url, config=config)
    if engine == "boto3":
        return BotoEngine(client, JOB, lambda: "")
    return open_native_engine(BotoEngine(client, JOB, lambda: ""), Credentials("k", "s"))


@pytest.fixture
def run(engine: str, memory_aws: Store, tmp_path: Path) -> Callable[..., Any]:
    """Runs one step and returns its result."""

    def run_step(action: str, before: Any = None, **fields: Any) -> Any:
        path = tmp_path / "job.yaml"
        roles = (
            {"source_role": "reader", "target_role": "writer"}
            if action == "s3.copy"
            else {"role": "writer"}
        )
        step = {"id": "it", "action": action, **roles, **fields}
        steps = [before, step] if before else [step]
        spec = {"version": 1, "name": "t", "engine": engine, "roles": ROLES, "steps": steps}
        path.write_text(json.dumps(spec))
        return api.run(api.load(path)).steps[-1]

    return run_step


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "_BASE", 0.01)


def keys(store: Store, bucket: str = "landing") -> list[str]:
    return sorted(key for name, key in store.objects if name == bucket)


def batches(store: Store) -> list[str]:
    return [each.body.decode() for each in store.requests_of("POST") if "delete" in each.query]


def list_objects(store: Store, *names: str) -> list[ObjectInfo]:
    return [
        ObjectInfo(
            name, len(store.objects["landing", name].body), store.objects["landing", name].etag
        )
        for name in names
    ]


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {each.uri.key: each.error.type if each.error else each.status for each in outcomes}


def trust_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As against S3 itself, whose conditions are relied on."""
    monkeypatch.setattr(deletions, "is_aws_host", lambda host: True)


def once(respond: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """A hook that acts on the first batch of deletions alone."""
    met: list[Request] = []

    def hook(request: Request) -> Any:
        if request.method == "POST" and "delete" in request.query and not met:
            met.append(request)
            return respond(request)
        return None

    return hook


# keys


def test_keys_that_xml_cannot_hold_are_deleted(storage: Any, memory_aws: Store) -> None:
    for name in STRANGE:
        memory_aws.put("landing", name, "x")
    outcomes = list(storage.delete([ObjectInfo(name, 1) for name in STRANGE], "landing", Cancel()))
    assert statuses(outcomes) == dict.fromkeys(STRANGE, "done")
    assert not keys(memory_aws)
    assert (len(batches(memory_aws)), len(memory_aws.requests_of("DELETE"))) == (1, 5)


def test_a_refused_deletion_of_such_a_key_is_its_failure_alone(
    storage: Any, memory_aws: Store
) -> None:
    for name in ("a\x01b", "plain"):
        memory_aws.put("landing", name, "x")
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied") if request.method == "DELETE" else None
    )
    outcomes = list(
        storage.delete([ObjectInfo("a\x01b", 1), ObjectInfo("plain", 1)], "landing", Cancel())
    )
    assert statuses(outcomes) == {"a\x01b": "AccessDenied", "plain": "done"}


def test_half_a_character_is_a_failure(storage: Any, memory_aws: Store) -> None:
    outcomes = list(
        storage.delete([ObjectInfo("a\ud800", 1), ObjectInfo("plain", 1)], "landing", Cancel())
    )
    assert statuses(outcomes) == {"a\ud800": "UnsafeKey", "plain": "done"}


@pytest.mark.parametrize("action", ["s3.delete", "s3.copy"])
def test_actions_on_keys_that_xml_cannot_hold(action: str, run: Any, memory_aws: Store) -> None:
    names = [name for name in STRANGE if name != "a\ufffeb"]
    for name in names:
        memory_aws.put("landing", f"tmp/{name}", name)
    if action == "s3.delete":
        step = run("s3.delete", source="s3://landing/tmp/", max_delete=100)
    else:
        step = run("s3.copy", source="s3://landing/tmp/", target="s3://publish/to/", move=True)
        assert {
            key[3:]: memory_aws.objects["publish", key].body.decode()
            for key in keys(memory_aws, "publish")
        } == {name: name for name in names}
    assert (step.status, step.outputs["count"]) == ("succeeded", len(names))
    assert not keys(memory_aws)


# single keys of a batch


@pytest.mark.parametrize(
    "code",
    [
        "InternalError",
        "SlowDown",
        "ServiceUnavailable",
        "OperationAborted",
        "ConditionalRequestConflict",
        "",
    ],
)
@pytest.mark.parametrize("unchanged", [False, True])
def test_a_key_that_fails_in_passing_is_tried_again_alone(
    code: str, unchanged: bool, storage: Any, memory_aws: Store
) -> None:
    for name in "abc":
        memory_aws.put("landing", name, "x")

    def refuse_one(request: Request) -> Response:
        for name in "ac":
            del memory_aws.objects["landing", name]
        failed = (
            f"<Error><Key>b</Key><Code>{code}</Code><Message>again</Message></Error>"
            if code
            else ""
        )
        return xml(
            f"<DeleteResult><Deleted><Key>a</Key></Deleted>{failed}<Deleted><Key>c</Key>"
            "</Deleted></DeleteResult>"
        )

    to_delete = list_objects(memory_aws, *"abc")
    memory_aws.hook = once(refuse_one)
    outcomes = list(storage.delete(to_delete, "landing", Cancel(), unchanged=unchanged))
    assert statuses(outcomes) == dict.fromkeys("abc", "done")
    assert not keys(memory_aws)
    assert [re.findall("<Key>(.)</Key>", body) for body in batches(memory_aws)] == [
        ["a", "b", "c"],
        ["b"],
    ]


@pytest.mark.parametrize(
    ("response", "told"),
    [
        ("<Error><Key>b</Key><Code>InternalError</Code></Error>", "InternalError"),
        ("", "did not say"),
    ],
)
def test_a_key_that_never_goes_is_a_failure(
    response: str, told: str, storage: Any, memory_aws: Store
) -> None:
    memory_aws.hook = lambda request: (
        xml(f"<DeleteResult>{response}</DeleteResult>") if request.method == "POST" else None
    )
    (outcome,) = storage.delete([ObjectInfo("b", 1)], "landing", Cancel())
    assert outcome.error is not None
    assert told in outcome.error.message
    assert len(batches(memory_aws)) == storage.requests.max_attempts > 1


def test_fields_of_an_answer_may_come_in_any_order(storage: Any, memory_aws: Store) -> None:
    response = (
        "<DeleteResult><Deleted><DeleteMarker>true</DeleteMarker><VersionId>v</VersionId>"
        "<Key>a&amp;b</Key></Deleted></DeleteResult>"
    )
    memory_aws.hook = lambda request: xml(response) if request.method == "POST" else None
    outcomes = list(storage.delete([ObjectInfo("a&b", 1, version="v")], "landing", Cancel()))
    assert statuses(outcomes) == {"a&b": "done"}


# conditions


@pytest.mark.parametrize("key", ["a", "a\x01"])
@pytest.mark.parametrize("kept", [False, True], ids=["looked at", "condition alone"])
def test_what_changed_is_kept(
    key: str,
    kept: bool,
    storage: Any,
    memory_aws: Store,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    if kept:
        trust_conditions(monkeypatch)
        getattr(storage, "fallback", storage).deletes.conditions.__init__(memory_aws.url)
    for name in (key, "same", "gone"):
        memory_aws.put("landing", name, "first")
    to_delete = list_objects(memory_aws, key, "same", "gone")
    memory_aws.put("landing", key, "came meanwhile")
    del memory_aws.objects["landing", "gone"]
    outcomes = list(storage.delete(to_delete, "landing", Cancel(), unchanged=True))
    assert statuses(outcomes) == {key: deletions.CHANGED, "same": "done", "gone": "done"}
    assert keys(memory_aws) == [key]
    looks = {each.key for each in memory_aws.requests_of("HEAD")}
    assert looks == ({key, "gone"} if kept else {key, "same", "gone"})


def test_what_changes_after_the_look_is_kept_by_the_condition(
    storage: Any, memory_aws: Store
) -> None:
    memory_aws.put("landing", "a", "first")
    to_delete = list_objects(memory_aws, "a")
    memory_aws.hook = once(
        lambda request: memory_aws.put("landing", "a", "came meanwhile") and None
    )
    outcomes = list(storage.delete(to_delete, "landing", Cancel(), unchanged=True))
    assert statuses(outcomes) == {"a": deletions.CHANGED}
    assert memory_aws.objects["landing", "a"].body == b"came meanwhile"


REFUSALS = {
    "request 501": lambda request: error(501, "NotImplemented"),
    "request 400": lambda request: error(400, "MalformedXML"),
    "request 412": lambda request: error(412, "PreconditionFailed"),
    "each key": lambda request: each_key(request, "NotImplemented"),
    "each key 412": lambda request: each_key(request, "PreconditionFailed"),
}


def each_key(request: Request, code: str) -> Response:
    found = re.findall(r"<Key>(.*?)</Key>", request.body.decode())
    return xml(
        "<DeleteResult>"
        + "".join(f"<Error><Key>{key}</Key><Code>{code}</Code></Error>" for key in found)
        + "</DeleteResult>"
    )


@pytest.mark.parametrize("kept", [False, True], ids=["looked at", "condition alone"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_server_without_conditions(
    refusal: str, kept: bool, storage: Any, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses them, for whatever reason: each object is then looked at right before."""
    if kept:
        trust_conditions(monkeypatch)
        getattr(storage, "fallback", storage).deletes.conditions.__init__(memory_aws.url)

    def refuse(request: Request) -> Any:
        if request.method == "DELETE" and "if-match" in request.headers:
            return error(501, "NotImplemented")
        return REFUSALS[refusal](request) if b"<ETag>" in request.body else None

    names = [f"k{number}" for number in range(60)]
    for name in (*names, "new", "odd\x01", "new\x01"):
        memory_aws.put("landing", name, "first")
    to_delete = list_objects(memory_aws, *names, "new", "odd\x01", "new\x01")
    memory_aws.put("landing", "new", "came meanwhile")
    memory_aws.put("landing", "new\x01", "came meanwhile")
    memory_aws.hook = refuse
    outcomes = list(storage.delete(to_delete, "landing", Cancel(), unchanged=True))
    changed = {"new": deletions.CHANGED, "new\x01": deletions.CHANGED}
    assert statuses(outcomes) == {**dict.fromkeys([*names, "odd\x01"], "done"), **changed}
    assert keys(memory_aws) == sorted(changed)


def test_looks_and_deletions_take_turns(storage: Any, memory_aws: Store) -> None:
    """Looks at few objects before they are deleted where a server may ignore conditions."""
    names = [f"k{number:03}" for number in range(120)]
    for name in names:
        memory_aws.put("landing", name, "x")
    to_delete = list_objects(memory_aws, *names)
    assert {
        each.error for each in storage.delete(to_delete, "landing", Cancel(), unchanged=True)
    } == {None}
    assert not keys(memory_aws)
    assert max(body.count("<Key>") for body in batches(memory_aws)) == deletions.CHECKED_BATCH


def test_a_move_over_several_buckets(run: Any, memory_aws: Store) -> None:
    for bucket in ("landing", "other"):
        memory_aws.put(bucket, f"{bucket}.txt", "x")
    step = run(
        "s3.copy",
        objects=["s3://landing/landing.txt", "s3://other/other.txt"],
        target="s3://publish/to",
        move=True,
    )
    assert (step.status, sorted(memory_aws.objects)) == (
        "succeeded",
        [("publish", "to/landing.txt"), ("publish", "to/other.txt")],
    )


@pytest.mark.parametrize("resuming", [False, True])
@pytest.mark.parametrize("compare", ["checksum", "size", "size_mtime", "etag"])
def test_what_an_earlier_try_moved_is_recognised_by_its_content(
    compare: str, resuming: bool
) -> None:
    action = S3Copy.model_validate(
        {"source": "s3://landing/p/", "target": "s3://publish/p/", "move": True, "compare": compare}
    )
    context: Any = SimpleNamespace(cancel=Cancel(), is_resumed=resuming, is_retry=resuming)
    objects = SourceObjects(placeholder_list(S3Uri("landing", "p/")))
    storage: Any = None
    copies = CopyItems(action, objects, storage, storage, context)
    assert copies.is_same.compare == ("checksum" if resuming else compare)


def test_a_server_that_ignores_conditions(storage: Any, memory_aws: Store) -> None:
    def ignore(request: Request) -> Any:
        if request.method != "POST":
            return None
        found = re.findall(r"<Key>(.*?)</Key>", request.body.decode())
        for key in found:
            memory_aws.objects.pop(("landing", key), None)
        return xml(
            "<DeleteResult>"
            + "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in found)
            + "</DeleteResult>"
        )

    for name in ("same", "new"):
        memory_aws.put("landing", name, "first")
    to_delete = list_objects(memory_aws, "same", "new")
    memory_aws.put("landing", "new", "came meanwhile")
    memory_aws.hook = ignore
    assert statuses(list(storage.delete(to_delete, "landing", Cancel(), unchanged=True))) == {
        "same": "done",
        "new": deletions.CHANGED,
    }
    assert keys(memory_aws) == ["new"]


def test_an_object_whose_etag_is_not_known_is_kept(storage: Any, memory_aws: Store) -> None:
    memory_aws.put("landing", "a", "x")
    (outcome,) = storage.delete([ObjectInfo("a", 1)], "landing", Cancel(), unchanged=True)
    assert (outcome.status, keys(memory_aws)) == ("failed", ["a"])


def test_an_object_that_cannot_be_looked_at_is_kept(storage: Any, memory_aws: Store) -> None:
    memory_aws.put("landing", "a", "x")
    to_delete = list_objects(memory_aws, "a")
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied") if request.method in ("HEAD", "GET") else None
    )
    (outcome,) = storage.delete(to_delete, "landing", Cancel(), unchanged=True)
    assert (outcome.error.type, keys(memory_aws)) == ("AccessDenied", ["a"])


def test_a_version_is_deleted_by_its_id(storage: Any, memory_aws: Store) -> None:
    (outcome,) = storage.delete(
        [ObjectInfo("a", 1, "e", version="v1")], "landing", Cancel(), unchanged=True
    )
    assert outcome.error is None
    (body,) = batches(memory_aws)
    assert "<VersionId>v1</VersionId>" in body
    assert "<ETag>" not in body
    assert not memory_aws.requests_of("HEAD")


# moves


@pytest.mark.parametrize("roles", [{}, {"source_role": "writer"}], ids=["two roles", "one role"])
def test_a_source_that_is_written_anew_is_kept(
    roles: dict[str, str], run: Any, memory_aws: Store
) -> None:
    for number in range(5):
        memory_aws.put("landing", f"p/{number}", f"first {number}")
    lock = threading.Lock()

    def write_anew(request: Request) -> None:
        with lock:
            if request.method == "PUT" and request.key == "p/3":
                memory_aws.put("landing", "p/3", "came meanwhile")

    memory_aws.after = write_anew
    step = run("s3.copy", source="s3://landing/p/", target="s3://publish/p/", move=True, **roles)
    assert (step.status, step.error.type) == ("failed", deletions.CHANGED)
    assert "p/3" in step.error.message
    assert keys(memory_aws) == ["p/3"]
    assert memory_aws.objects["landing", "p/3"].body == b"came meanwhile"
    assert memory_aws.objects["publish", "p/3"].body == b"first 3"


@pytest.mark.parametrize("roles", [{}, {"source_role": "writer"}], ids=["two roles", "one role"])
def test_a_move_that_finds_its_copies_there(
    roles: dict[str, str], run: Any, memory_aws: Store
) -> None:
    memory_aws.put("landing", "p/same", "same")
    memory_aws.put("publish", "p/same", "same")
    memory_aws.put("landing", "p/other", "new")
    memory_aws.put("publish", "p/other", "old")
    step = run(
        "s3.copy",
        source="s3://landing/p/",
        target="s3://publish/p/",
        move=True,
        if_exists="skip_same",
        **roles,
    )
    assert (step.status, step.outputs["count"], step.outputs["skipped"]) == ("succeeded", 1, 1)
    assert (keys(memory_aws), memory_aws.objects["publish", "p/other"].body) == ([], b"new")


def test_a_copy_that_is_replaced_after_it_was_compared_keeps_its_source(
    run: Any, memory_aws: Store
) -> None:
    """The same size, another content: its ETag tells."""
    memory_aws.put("landing", "p/a", "same")
    memory_aws.put("publish", "p/a", "same")

    def replace_it(request: Request) -> None:
        if (
            request.method == "HEAD"
            and request.bucket == "publish"
            and len(memory_aws.requests_of("HEAD", "publish")) == 1
        ):
            memory_aws.put("publish", "p/a", "else")

    memory_aws.after = replace_it
    step = run(
        "s3.copy",
        source="s3://landing/p/",
        target="s3://publish/p/",
        move=True,
        if_exists="skip_same",
    )
    assert (step.status, keys(memory_aws)) == ("failed", ["p/a"])


def test_a_move_keeps_what_it_skips_unseen(run: Any, memory_aws: Store) -> None:
    memory_aws.put("landing", "p/a", "new")
    memory_aws.put("publish", "p/a", "old")
    step = run(
        "s3.copy", source="s3://landing/p/", target="s3://publish/p/", move=True, if_exists="skip"
    )
    assert (step.status, keys(memory_aws), memory_aws.objects["publish", "p/a"].body) == (
        "succeeded",
        ["p/a"],
        b"old",
    )


@pytest.mark.parametrize("compare", ["size", "size_mtime", "mtime"])
def test_a_move_that_would_prove_nothing_is_refused(
    compare: str, run: Any, memory_aws: Store
) -> None:
    with pytest.raises(SpecError, match="does not verify content"):
        run(
            "s3.copy",
            source="s3://landing/p/",
            target="s3://publish/p/",
            move=True,
            if_exists="skip_same",
            compare=compare,
        )


def test_a_move_that_turns_out_to_prove_nothing_is_refused(run: Any, memory_aws: Store) -> None:
    memory_aws.put("landing", "p/a", "new")
    memory_aws.put("publish", "p/a", "old")
    memory_aws.put("landing", "how", "size")
    read = {"id": "how", "action": "s3.read", "role": "reader", "source": "s3://landing/how"}
    fields = {
        "source": "s3://landing/p/",
        "target": "s3://publish/p/",
        "move": True,
        "if_exists": "skip_same",
    }
    step = run("s3.copy", before=read, compare="${{ steps.how.text }}", **fields)
    assert (step.status, keys(memory_aws)) == ("failed", ["how", "p/a"])
    assert "does not verify content" in step.error.message


# nothing to delete


NAMED: list[dict[str, Any]] = [
    {"source": "s3://landing/gone"},
    {"objects": ["s3://landing/gone", "s3://landing/gone-too"]},
]


@pytest.mark.parametrize("named", NAMED, ids=["source", "objects"])
@pytest.mark.parametrize("on_empty", ["error", "warn", "ok"])
def test_objects_that_are_not_there(
    named: dict[str, Any], on_empty: str, run: Any, memory_aws: Store
) -> None:
    memory_aws.put("landing", "there", "x")
    step = run("s3.delete", max_delete=5, on_empty=on_empty, **named)
    assert step.status == ("failed" if on_empty == "error" else "succeeded")
    assert step.error.type == "NoSuchKey" if on_empty == "error" else step.outputs["count"] == 0
    assert keys(memory_aws) == ["there"]


def test_one_of_several_that_is_not_there_is_a_failure(run: Any, memory_aws: Store) -> None:
    memory_aws.put("landing", "there", "x")
    step = run(
        "s3.delete",
        max_delete=5,
        on_empty="ok",
        objects=["s3://landing/gone", "s3://landing/there"],
    )
    assert (step.status, step.error.type, keys(memory_aws)) == ("failed", "NoSuchKey", [])


def test_a_bucket_that_is_not_there_is_not_merely_empty(run: Any, memory_aws: Store) -> None:
    memory_aws.hook = lambda request: (
        error(404, "NoSuchBucket") if request.bucket == "landing" else None
    )
    step = run("s3.delete", max_delete=5, on_empty="ok", source="s3://landing/gone")
    assert (step.status, step.error.type) == ("failed", "NoSuchBucket")
