"""Every action, run with planted secrets: no output contains one, in any encoding."""

from __future__ import annotations

import base64
import html
import json
import shlex
import subprocess
import sys
import urllib.parse
from typing import TYPE_CHECKING

import pytest

from rolerunner.actions import registry
from tests.memory_aws import Response, error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.memory_aws import Request, Store

PARAM = 'p@ram "Kettle" <4711>/+\\x'
OUTPUT = "Blue-output/0815+on the shelf"
INNER = "Inner-password-in-json-1"
STORED = "Stored-parameter-2/x"
DECLARED = "Declared-by-the-step-3"
SESSION = base64.b64encode(b"a secret key of another system").decode()
KEY = base64.b64encode(bytes(range(100, 132))).decode()
FETCHED = 'Fetched "once"/at the start\nof the run+5'
SIBLING = "Sibling-in-the-same-json-6"
PARAMETER = "Fetched-parameter=7/ä"
PLANTED = [
    PARAM,
    PARAM.upper(),
    OUTPUT,
    INNER,
    STORED,
    DECLARED,
    SESSION,
    KEY,
    FETCHED,
    SIBLING,
    PARAMETER,
]

ENCODINGS: list[Callable[[str], str]] = [
    str,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(json.dumps(text))[3:-3],
    urllib.parse.quote,
    urllib.parse.quote_plus,
    lambda text: urllib.parse.quote(text, safe=""),
    lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    lambda text: base64.b64encode(b"xxxx" + text.encode()).decode()[7:-4],
    lambda text: base64.b64encode(b"xxxxx" + text.encode()).decode()[8:-4],
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
    html.escape,
    lambda text: html.escape(text, quote=False),
    shlex.quote,
    lambda text: repr(text)[1:-1],
]

JOB = """
import base64, json, logging, sys, traceback, urllib.parse, warnings

def forms(text):
    in_base64 = base64.b64encode(b"xx" + text.encode()).decode()
    quoted = urllib.parse.quote(text)
    return [text, json.dumps(text), quoted, in_base64, text.encode().hex(), repr(text)]

def use(context, **values):
    keys = context.session.get_credentials().get_frozen_credentials()
    for name, value in {**values, "key": str(keys.secret_key), "token": str(keys.token)}.items():
        nested = {"a": [value, {name: value}]}
        context.log(f"{name} is " + " ".join(forms(value)), value=value, nested=nested)
        print(name, value, *forms(value), {name: value})
        sys.stderr.write("\\n".join(forms(value)) + "\\n")
        warnings.warn("warned of " + value)
    logging.getLogger("jobs").warning("logged %s", values)
    logging.getLogger("jobs").warning("logged %d", " ".join(values.values()))
    return {"copies": forms(values.get("param", "none")),
            "Credentials": {"AccessKeyId": "A", "SecretAccessKey": SESSION}, "mine": DECLARED}

def fail(context, **values):
    keys = context.session.get_credentials().get_frozen_credentials()
    secrets = (*values.values(), str(keys.secret_key), str(keys.token))
    text = " ".join(each for value in secrets for each in forms(value))
    try:
        raise KeyError(text)
    except KeyError:
        traceback.print_exc(file=sys.stdout)
    raise RuntimeError("login with " + text)
"""

SPEC = """
version: 1
name: leaks
on_failure: finish
engine: ENGINE
params:
  param: {type: string, secret: true, required: true}
  key: {type: string, secret: true, required: true}
  short: {type: string, secret: true, default: "s1"}
  fetched: {type: string, secret: true, from: "secretsmanager:partner#login", role: reader}
  parameter: {type: string, secret: true, from: "ssm:/partner/key", role: writer}
roles:
  reader: arn:aws:iam::444455556666:role/reader
  writer: arn:aws:iam::444455556666:role/writer
state: STATE
steps:
  - {id: find, action: s3.list, role: reader, source: "s3://landing/in/", needs: []}
  - {id: appear, action: s3.wait, role: reader, source: "s3://landing/in/", max_wait: 1s, needs: []}
  - {id: get, action: s3.download, role: reader, source: "s3://landing/in/", target: out/,
     max_failures: 90%, customer_key: "${{ params.key }}", needs: []}
  - {id: put, action: s3.upload, role: writer, source: src/, target: "s3://publish/up/",
     max_failures: 90%, needs: [],
     encryption: {type: SSE-C, customer_key: "${{ params.key }}"}}
  - {id: within, action: s3.copy, role: reader, source: "s3://landing/in/",
     target: "s3://landing/copied/", needs: []}
  - {id: between, action: s3.copy, source_role: reader, target_role: writer,
     source: "s3://landing/in/", target: "s3://publish/b/", needs: []}
  - {id: read, action: s3.read, role: reader, source: "s3://landing/settings.json", needs: []}
  - {id: write, action: s3.write, role: writer, target: "s3://publish/w.txt", text: hello,
     needs: [],
     encryption: {type: SSE-C, customer_key: "${{ params.key }}"}}
  - {id: remove, action: s3.delete, role: reader, source: "s3://landing/old/", max_delete: 5,
     needs: []}
  - {id: pack, action: s3.pack, source_role: reader, target_role: writer, needs: [],
     source: "s3://landing/in/", target: "s3://publish/in.tar.gz",
     encryption: {type: SSE-C, customer_key: "${{ params.key }}"}}
  - {id: unpack, action: s3.unpack, source_role: reader, target_role: writer, needs: [],
     source: "s3://landing/in.tar.gz", target: "s3://publish/unpacked/"}
  - {id: bring, action: sftp.download, role: writer, needs: [], host: 127.0.0.1, port: 1, user: u,
     password: "${{ params.param }}", private_key: "${{ params.key }}", source: in/,
     target: "s3://publish/sftp/", host_key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}
  - {id: send, action: sftp.upload, role: reader, needs: [], host: 127.0.0.1, port: 1, user: u,
     password: "${{ params.fetched }}", source: "s3://landing/in/", target: in/,
     host_key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}
  - {id: concat, action: s3.concat, source_role: reader, target_role: writer, needs: [],
     source: "s3://landing/in/", target: "s3://publish/one.txt"}
  - {id: verify, action: s3.verify, source_role: reader, target_role: writer, needs: [],
     source: "s3://landing/in/", target: "s3://publish/b/"}
  - {id: restore, action: s3.restore, role: reader, source: "s3://landing/in/", needs: []}
  - {id: tag, action: s3.tag, role: reader, source: "s3://landing/in/", add: {a: b}, needs: []}
  - {id: clean, action: s3.cleanup, role: reader, source: "s3://landing/", max_delete: 5,
     min_age: 7d, needs: []}
  - {id: sign, action: s3.presign, role: reader, source: "s3://landing/in/0.txt", expires: 5m,
     needs: []}
  - {id: ask, action: athena.query, role: reader, query: "SELECT 1", needs: [],
     output_location: "s3://landing/results/"}
  - {id: parts, action: catalog.partitions, role: reader, database: sales, table: orders,
     source: "s3://landing/in/", needs: []}
  - {id: start, action: glue.run, role: reader, job: load, needs: []}
  - {id: secret, action: aws.call, role: reader, service: secretsmanager,
     operation: GetSecretValue, parameters: {SecretId: db}, needs: []}
  - {id: part, action: aws.call, role: reader, service: ssm, operation: GetParameter,
     parameters: {Name: db, WithDecryption: true}, needs: [],
     select: "{name: Parameter.Name, url: join('', ['https://u:', Parameter.Value, '@h/'])}"}
  - {id: use, action: python.call, role: reader, function: "job.py:use", secret_outputs: [mine],
     needs: [secret, part],
     arguments: {param: "${{ params.param }}", upper: "${{ params.param | upper }}",
                 output: "${{ steps.secret.SecretString }}", fetched: "${{ params.fetched }}",
                 parameter: "${{ params.parameter }}"}}
  - {id: show, action: python.call, role: reader, function: "job.py:use", needs: [sign],
     secret_outputs: [mine],
     arguments: {url: "${{ steps.sign.url }}"}}
  - {id: fail, action: python.call, role: reader, function: "job.py:fail", needs: [use, secret],
     arguments: {param: "Bearer ${{ params.param }}", output: "${{ steps.secret.SecretString }}",
                 session: "${{ steps.use.Credentials.SecretAccessKey }}",
                 fetched: "${{ params.fetched }}", parameter: "${{ params.parameter }}"}}
  - {id: tell, action: s3.write, role: writer, target: "s3://publish/told.txt", when: always,
     text: "${{ run.error }}",
     needs: [find, appear, get, put, within, between, read, write, remove,
             tag, clean, sign, show, pack, unpack, bring, send, concat, verify, restore,
             ask, parts, start, secret, part, use, fail]}
"""

SETTINGS = json.dumps({"db": {"password": INNER, "NextToken": "a place in a list"}})


def _answer(request: Request) -> Response | None:
    target = request.headers.get("x-amz-target", "")
    if target.startswith("secretsmanager"):
        partner = json.dumps({"login": FETCHED, "password": SIBLING})
        body = {
            "ARN": "arn:aws:secretsmanager:eu-west-1:444455556666:secret:db-AbCdEf",
            "Name": "db",
            "SecretString": partner if b"partner" in request.body else OUTPUT,
        }
        return Response(
            200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()
        )
    if target.startswith("AmazonSSM"):
        parameter = {"Parameter": {"Name": "db", "Type": "SecureString", "Value": STORED}}
        if b"partner" in request.body:
            parameter["Parameter"]["Value"] = PARAMETER
        return Response(
            200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(parameter).encode()
        )
    return None


def _echo(request: Request) -> Response | None:
    """Refuse every request of S3 but those for the state, and repeat what was sent."""
    if (response := _answer(request)) is not None:
        return response
    if request.service == "sts" or request.bucket == "ops" or request.key == "told.txt":
        return None
    sent = [
        value
        for name, value in request.headers.items()
        if name.lower().startswith(("x-amz-server-side", "x-amz-security", "authorization"))
    ]
    said = [
        form
        for value in sent
        for form in (
            value,
            urllib.parse.quote(value),
            base64.b64encode(value.encode()).decode(),
            value.encode().hex(),
        )
    ]
    return error(400, "InvalidArgument", "refused: " + " ".join(said))


def _run(folder: Path, form: str, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = [
        "run",
        "spec.yaml",
        "--params",
        "params.json",
        "-p",
        "param=@param.txt",
        "--result",
        "r.json",
        "--report",
        "r.html",
        "--run-key",
        "k",
    ]
    command = [
        sys.executable,
        "-m",
        "rolerunner",
        *arguments,
        "--log-format",
        form,
        "--log-level",
        "debug" if form == "json" else "info",
        *more,
    ]
    return _command(folder, command)


def _command(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    import os

    completed = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "TMPDIR": str(folder / "tmp"), "AWS_REGION": "eu-west-1"},
    )
    assert "Traceback" not in completed.stderr, completed.stderr
    return completed


GIVEN = {"job.py", "param.txt", "params.json", "spec.yaml"}


def _leaks(texts: dict[str, str], secrets: Iterable[str]) -> list[tuple[str, str, int]]:
    """The places of each secret, and its encodings there."""
    needles = {
        encode(secret): (secret, number)
        for secret in secrets
        for number, encode in enumerate(ENCODINGS)
    }
    return [
        (name, *about)
        for name, text in texts.items()
        for needle, about in needles.items()
        if len(needle) > 3 and needle in text
    ]


def _written(
    folder: Path, store: Store, completed: subprocess.CompletedProcess[str]
) -> dict[str, str]:
    texts = {"stdout": completed.stdout, "stderr": completed.stderr}
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in GIVEN and path.parent.name != "__pycache__":
            texts[str(path.relative_to(folder))] = path.read_text("utf-8", "replace")
    texts.update(
        {
            f"s3://{bucket}/{key}": entry.body.decode("utf-8", "replace")
            for (bucket, key), entry in store.objects.items()
            if key != "settings.json"
        }
    )
    return texts


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("refusing", [False, True], ids=["answered", "refused"])
@pytest.mark.parametrize(
    ("engine", "state"),
    [("fast", "{location: state/}"), ("boto3", '{location: "s3://ops/state/", role: writer}')],
)
def test_no_planted_secret_is_shown_or_stored(
    engine: str, state: str, refusing: bool, form: str, tmp_path: Path, memory_aws: Store
) -> None:
    for number in range(3):
        memory_aws.put("landing", f"in/{number}.txt", f"{number}")
        memory_aws.put("landing", f"old/{number}.txt", f"{number}")
    memory_aws.put("landing", "settings.json", SETTINGS)
    memory_aws.hook = _echo if refusing else _answer
    (tmp_path / "tmp").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.txt").write_text("a")
    (tmp_path / "job.py").write_text(f"SESSION, DECLARED = {SESSION!r}, {DECLARED!r}\n{JOB}")
    (tmp_path / "param.txt").write_text(PARAM + "\n")
    (tmp_path / "params.json").write_text(json.dumps({"key": KEY}))
    (tmp_path / "spec.yaml").write_text(SPEC.replace("ENGINE", engine).replace("STATE", state))
    completed = _run(tmp_path, form)
    assert completed.returncode == 4, completed.stdout + completed.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    statuses = {step["id"]: step["status"] for step in result["steps"]}
    assert statuses["fail"] == "failed"
    assert statuses["use"] == statuses["tell"] == "succeeded", completed.stdout
    if refusing:
        assert {
            statuses[name]
            for name in ("find", "get", "put", "within", "between", "read", "write", "remove")
        } == {"failed"}, statuses
    else:
        assert {
            statuses[name] for name in ("find", "read", "write", "remove", "secret", "part")
        } == {"succeeded"}, statuses
    assert set(registry()) - {"spark.sql"} <= {step["action"] for step in result["steps"]}
    texts = _written(tmp_path, memory_aws, completed)
    assert any(name.endswith("k.json") for name in texts), "the state is among what is searched"
    assert "s3://publish/told.txt" in texts
    sessions = {*memory_aws.secrets, *memory_aws.roles_of_keys}
    assert len(sessions) >= 4
    sessions.add("base-secret-of-the-job")
    assert not _leaks(texts, [*PLANTED, *sessions])
    if refusing:
        assert "refused: [redacted]" in texts["r.json"], "what was sent came back"
    else:
        assert "a place in a list" in texts["r.json"], "what is no secret is shown"
    assert '"s1"' not in texts["r.json"]


def test_a_secret_output_is_made_anew_by_a_resumed_run(tmp_path: Path, memory_aws: Store) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "job.py").write_text(
        "import pathlib\n"
        "def count(name):\n"
        "    path = pathlib.Path(name); n = int(path.read_text() or 0) + 1 if "
        "path.exists() else 1; path.write_text(str(n)); return n\n"
        "def plain(context):\n    return {'value': count('plain')}\n"
        "def login(context):\n"
        "    count('login'); return {'password': 'Made-anew-4711', 'user': 'ada'}\n"
        "def fail(context, password):\n"
        "    assert password == 'Made-anew-4711'; count('fail'); raise "
        "RuntimeError(password)\n"
    )
    (tmp_path / "param.txt").write_text("x")
    (tmp_path / "params.json").write_text("{}")
    (tmp_path / "spec.yaml").write_text(
        "version: 1\n"
        "name: anew\n"
        "params: {param: {secret: true}}\n"
        "state: {location: state/}\n"
        "steps:\n"
        '  - {id: plain, action: python.call, function: "job.py:plain", needs: []}\n'
        '  - {id: login, action: python.call, function: "job.py:login", needs: []}\n'
        '  - {id: fail, action: python.call, function: "job.py:fail", '
        'arguments: {password: "${{ steps.login.password }}"}}\n'
    )
    assert _run(tmp_path, "json").returncode == 4
    again = _run(tmp_path, "json")
    assert again.returncode == 4
    assert {name: (tmp_path / name).read_text() for name in ("plain", "login", "fail")} == {
        "plain": "1",
        "login": "2",
        "fail": "2",
    }
    assert not _leaks(_written(tmp_path, memory_aws, again), ["Made-anew-4711"])


@pytest.mark.parametrize(
    "command",
    [
        ["plan"],
        ["plan", "--json"],
        ["graph"],
        ["iam"],
        ["iam", "--format", "terraform", "--job-role", "arn:aws:iam::444455556666:role/job"],
        ["validate"],
        ["validate", "--format", "json"],
        ["audit"],
    ],
    ids=" ".join,
)
def test_commands_that_run_nothing_show_no_secret(
    command: list[str], tmp_path: Path, memory_aws: Store
) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "job.py").write_text(f"SESSION, DECLARED = {SESSION!r}, {DECLARED!r}\n{JOB}")
    (tmp_path / "param.txt").write_text(PARAM + "\n")
    (tmp_path / "params.json").write_text(json.dumps({"key": KEY}))
    (tmp_path / "spec.yaml").write_text(
        SPEC.replace("ENGINE", "fast").replace("STATE", "{location: state/}")
    )
    name, *more = command
    completed = _command(
        tmp_path,
        [
            sys.executable,
            "-m",
            "rolerunner",
            name,
            "spec.yaml",
            *more,
            "--params",
            "params.json",
            "-p",
            "param=@param.txt",
        ],
    )
    assert completed.returncode in (0, 4), completed.stderr
    assert completed.stdout
    assert not _leaks({"stdout": completed.stdout, "stderr": completed.stderr}, PLANTED)


def test_junit_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "spec.yaml").write_text(
        "version: 1\n"
        "name: tried\n"
        "params: {param: {secret: true, required: true}}\n"
        "roles: {reader: 'arn:aws:iam::444455556666:role/reader'}\n"
        "steps:\n"
        '  - {id: fail, action: python.call, role: reader, function: "job.py:fail", '
        'arguments: {param: "${{ params.param }}"}}\n'
    )
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "spec.test.yaml").write_text(
        json.dumps(
            {
                "version": 1,
                "params": {"param": OUTPUT},
                "cases": [{"name": "it fails", "expect": {"status": "succeeded"}}],
            }
        )
    )
    completed = _command(
        tmp_path,
        [sys.executable, "-m", "rolerunner", "test", "spec.test.yaml", "-v", "--junit", "j.xml"],
    )
    assert completed.returncode == 4, completed.stderr
    texts = {
        "stdout": completed.stdout,
        "stderr": completed.stderr,
        "junit": (tmp_path / "j.xml").read_text(),
    }
    assert "RuntimeError" in texts["junit"]
    assert not _leaks(texts, [OUTPUT])
