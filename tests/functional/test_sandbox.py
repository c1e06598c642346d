"""The embedded AWS: its process, its IAM enforcement, its records and its sandbox files."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import boto3
import pytest
from botocore.exceptions import ClientError

from rolerunner import sandbox
from rolerunner.errors import SandboxError, SpecError, UsageError
from rolerunner.sandbox import server
from tests.conftest import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

SECOND = "arn:aws:iam::111122223333:role/glue-role-test-to-be-assumed"
ELSEWHERE = "arn:aws:iam::444455556666:role/glue-role-test-to-be-assumed"
READER = "arn:aws:iam::222233334444:role/landing-reader"
PUBLISHER = "arn:aws:iam::444455556666:role/publisher"
BLOG = CONFIGS / "blog_cross_role.sandbox.yaml"


def answers(endpoint: str) -> bool:
    place = urlparse(endpoint)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((place.hostname or "", place.port or 0)) == 0


def test_it_listens_on_loopback_and_leaves_nothing_behind() -> None:
    with sandbox.start_sandbox(sandbox.load_world(BLOG)) as running:
        assert running.endpoint.startswith("http://127.0.0.1:")
        assert answers(running.endpoint)
        folder, pid = running.server.folder, running.server.pid
        assert folder.exists()
    assert not answers(running.endpoint)
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_ends_with_its_parent_even_by_kill_9(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from rolerunner import sandbox
with sandbox.start_sandbox(sandbox.load_world(Path({str(BLOG)!r}))) as running:
    print(running.endpoint, flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert parent.stdout is not None
    endpoint = parent.stdout.readline().strip()
    assert answers(endpoint)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while answers(endpoint) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(endpoint)
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_it_leaves_nothing_in_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the child's
    with server.start_server() as running:
        assert [running.folder] == list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_another_sandbox_on_the_port_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    with server.start_server() as first:
        taken, free = int(first.endpoint.rsplit(":", 1)[1]), server._free_port()
        ports = [free, taken]
        monkeypatch.setattr(server, "_free_port", ports.pop)
        with server.start_server() as second:
            assert (second.endpoint, ports) == (f"http://127.0.0.1:{free}", [])
            assert answers(first.endpoint)
        monkeypatch.setattr(server, "_free_port", lambda: taken)
        with (
            pytest.raises(SandboxError, match=r"did not start:\n(.|\n)*already in use"),
            server.start_server(),
        ):
            pass


def session(running: sandbox.Sandbox, service: str, keys: dict[str, str], region: str = "") -> Any:
    return boto3.client(
        service,
        endpoint_url=running.endpoint,
        region_name=region or running.region,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def job(running: sandbox.Sandbox, service: str, region: str = "") -> Any:
    keys = running.job_keys
    return session(
        running,
        service,
        {
            "AccessKeyId": keys.access_key,
            "SecretAccessKey": keys.secret_key,
            "SessionToken": keys.token,
        },
        region,
    )


@pytest.fixture(scope="module")
def blog() -> Iterator[sandbox.Sandbox]:
    with sandbox.start_sandbox(sandbox.load_world(BLOG)) as running:
        yield running


@pytest.fixture(scope="module")
def partner() -> Iterator[sandbox.Sandbox]:
    with sandbox.start_sandbox(
        sandbox.load_world(CONFIGS / "partner_exchange.sandbox.yaml")
    ) as running:
        yield running


def test_the_scene(blog: sandbox.Sandbox) -> None:
    sts = job(blog, "sts")
    assert (
        sts.get_caller_identity()["Arn"]
        == "arn:aws:sts::111122223333:assumed-role/glue-role-test/GlueJobRunnerSession"
    )
    expected = {"Bucket": "team-data-111122223333", "Key": "test_path/some_demo_file.gz"}
    with pytest.raises(ClientError, match="is not authorized to perform: s3:GetObject"):
        job(blog, "s3").get_object(**expected)
    keys = sts.assume_role(RoleArn=SECOND, RoleSessionName="scene")["Credentials"]
    assert (
        gzip.decompress(session(blog, "s3", keys).get_object(**expected)["Body"].read())
        == b"a file that only the second role may read\n"
    )
    asked = [
        request
        for request in blog.requests("s3")
        if request.parameters.get("Key") == expected["Key"] and not request.is_admin
    ]
    assert [
        (request.operation, request.caller.rsplit(":", 1)[1], request.error) for request in asked
    ] == [
        ("GetObject", "assumed-role/glue-role-test/GlueJobRunnerSession", "AccessDenied"),
        ("GetObject", "assumed-role/glue-role-test-to-be-assumed/scene", ""),
    ]


def test_an_external_id_has_to_be_right_and_a_refusal_is_on_record_but_not_counted(
    partner: sandbox.Sandbox,
) -> None:
    sts = job(partner, "sts")
    for wrong in ({}, {"ExternalId": "ex-2"}):
        with pytest.raises(ClientError, match="AccessDenied"):
            sts.assume_role(RoleArn=READER, RoleSessionName="scene", **wrong)
    with pytest.raises(ClientError, match="AccessDenied"):  # the job's own policy does not name it
        sts.assume_role(RoleArn="arn:aws:iam::222233334444:role/nobody", RoleSessionName="scene")
    sts.assume_role(RoleArn=READER, RoleSessionName="scene", ExternalId="ex-1")
    assert partner.assume_role_count() == {READER: 1}
    asked = [
        (request.parameters["RoleArn"][-6:], request.error)
        for request in partner.requests("sts")
        if not request.is_admin
    ]
    assert asked == [
        ("reader", "AccessDenied"),
        ("reader", "AccessDenied"),
        ("nobody", "AccessDenied"),
        ("reader", ""),
    ]


def test_each_role_of_the_exchange_may_do_its_part_only(partner: sandbox.Sandbox) -> None:
    sts = job(partner, "sts")
    reader = session(
        partner,
        "s3",
        sts.assume_role(RoleArn=READER, RoleSessionName="part", ExternalId="ex-1")["Credentials"],
    )
    publisher = session(
        partner, "s3", sts.assume_role(RoleArn=PUBLISHER, RoleSessionName="part")["Credentials"]
    )
    assert (
        reader.list_objects_v2(Bucket="partner-landing", Prefix="orders/2026-01-01/")["KeyCount"]
        == 4
    )
    publisher.put_object(Bucket="publish", Key="orders/x", Body=b"")
    notes = {"Bucket": "partner-landing", "Key": "orders/2026-01-01/notes.txt"}
    for call, arguments in (
        (reader.list_objects_v2, {"Bucket": "partner-landing"}),
        (reader.put_object, {"Bucket": "partner-landing", "Key": "orders/x", "Body": b""}),
        (publisher.put_object, {"Bucket": "publish", "Key": "other/x", "Body": b""}),
        (publisher.get_object, notes),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(**arguments)


def test_every_assume_is_counted_also_in_another_region_and_beyond_fifty(
    blog: sandbox.Sandbox,
) -> None:
    before = blog.assume_role_count()
    near, far = job(blog, "sts"), job(blog, "sts", "us-east-1")
    for _ in range(60):
        near.assume_role(RoleArn=SECOND, RoleSessionName="storm")
    far.assume_role(RoleArn=ELSEWHERE, RoleSessionName="far")
    after = blog.assume_role_count()
    assert after[SECOND] - before.get(SECOND, 0) == 60
    assert after[ELSEWHERE] - before.get(ELSEWHERE, 0) == 1


def test_the_record_holds_no_secrets(blog: sandbox.Sandbox) -> None:
    keys = job(blog, "sts").assume_role(RoleArn=SECOND, RoleSessionName="quiet")["Credentials"]
    session(blog, "s3", keys).get_object(
        Bucket="team-data-111122223333", Key="test_path/some_demo_file.gz"
    )
    files = b"".join(file.read_bytes() for file in blog.server.folder.iterdir() if file.is_file())
    for secret in (
        keys["SecretAccessKey"],
        keys["SessionToken"],
        blog.job_keys.secret_key,
        blog.job_keys.token,
    ):
        assert secret.encode() not in files
        assert secret not in repr(blog)


def test_what_an_object_has_is_made(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\0\1")
    text = """
        version: 1
        job_role: arn:aws:iam::111122223333:role/service-role/job
        roles: [{arn: "arn:aws:iam::111122223333:role/service-role/job", description: the job,
                max_session_duration: 2h}]
        buckets:
          - name: things
            account: "111122223333"
            versioning: true
            policy: {Statement: {Effect: Deny, Principal: "*", Action: s3:DeleteObject,
                     Resource: "arn:aws:s3:::things/*"}}
            objects:
              - {key: a, file: data.bin, content_type: text/x-a, metadata: {who: me},
                 tags: {team: orders, cost: "a&b"}}
              - {key: b, size: 1000}
    """
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with sandbox.start_sandbox(sandbox.load_world(path), tmp_path) as running:
        s3, iam = running.client("s3", "111122223333"), running.client("iam", "111122223333")
        role = iam.get_role(RoleName="job")["Role"]
        assert (role["Path"], role["Description"], role["MaxSessionDuration"]) == (
            "/service-role/",
            "the job",
            7200,
        )
        got = s3.get_object(Bucket="things", Key="a")
        assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (
            b"\0\1",
            "text/x-a",
            {"who": "me"},
        )
        tags = s3.get_object_tagging(Bucket="things", Key="a")["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "orders", "cost": "a&b"}
        assert s3.head_object(Bucket="things", Key="b")["ContentLength"] == 1000
        assert s3.get_bucket_versioning(Bucket="things")["Status"] == "Enabled"
        assert "s3:DeleteObject" in s3.get_bucket_policy(Bucket="things")["Policy"]
        assert running.admin("111122223333").region_name == "eu-west-1"


def test_the_users_own_aws_settings_do_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with sandbox.start_sandbox(sandbox.load_world(BLOG)) as running:
        assert (
            running.client("sts", "111122223333").get_caller_identity()["Account"] == "111122223333"
        )


def test_a_profile_that_is_not_there_is_no_matter_in_a_sandbox(
    rolerunner: Callable[..., Any],
) -> None:
    completed = rolerunner(
        "run", BLOG.with_name("blog_cross_role.yaml"), "--sandbox", AWS_PROFILE="not-there"
    )
    assert completed.returncode == 0, completed.stderr


@pytest.mark.parametrize("command", [["run"], ["plan", "--live"]])
def test_a_proxy_of_the_user_is_no_matter_in_a_sandbox(
    command: list[str], rolerunner: Callable[..., Any]
) -> None:
    spec = BLOG.with_name("blog_cross_role.yaml")
    proxy = "http://127.0.0.1:9"
    completed = rolerunner(
        *command, spec, "--sandbox", HTTP_PROXY=proxy, http_proxy=proxy, no_proxy="example.com"
    )
    assert completed.returncode == 0, completed.stderr


def test_without_the_emulator_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delenv(server.OTHER_PYTHON, raising=False)
    with pytest.raises(SandboxError, match=r"rolerunner\[sandbox\]"):
        server.find_interpreter()
    for other in ("/bin/false", "/nowhere/python"):
        monkeypatch.setenv(server.OTHER_PYTHON, other)
        with pytest.raises(SandboxError, match="cannot import the emulator"):
            server.find_interpreter()


def test_a_port_that_another_process_has_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(SandboxError, match=f"cannot listen on port {port}: Address already in"),
            server.start_server(port),
        ):
            pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version: 1", "version: 1\nregoin: x"), "unknown key 'regoin' (did you mean 'region'?)"),
        (
            (
                "job_role: arn:aws:iam::111122223333:role/glue-role-test",
                "job_role: arn:aws:iam::111122223333:role/nobody",
            ),
            "'job_role' is not one of the roles",
        ),
        (
            ('account: "444455556666"', "account: 444455556666"),
            'is text; write "444455556666" in quotes',
        ),
        (
            ('gzip: "a file of another account\\n"', "gzip: a, text: b"),
            "each object must have exactly one of text, gzip, file or size",
        ),
        (
            (
                "Effect: Allow, Action: s3:ListAllMyBuckets",
                "Efect: Allow, Action: s3:ListAllMyBuckets",
            ),
            "a policy statement has no 'Efect'",
        ),
        (
            ("Action: s3:ListAllMyBuckets, Resource", "Action: 7, Resource"),
            "a policy statement's 'Action' is text or a list of texts",
        ),
        (
            ('Action: s3:ListAllMyBuckets, Resource: "*"', "Action: s3:ListAllMyBuckets"),
            "either 'Resource' or 'NotResource'",
        ),
        (
            ("Principal: {Service: glue.amazonaws.com}, ", ""),
            "either 'Principal' or 'NotPrincipal'",
        ),
        (
            ("name: partner-data-444455556666", "name: team-data-111122223333"),
            "'buckets' contains the bucket team-data-111122223333 twice",
        ),
        (('gzip: "a file of another account\\n"', "file: gone.gz"), "there is no file"),
    ],
)
def test_a_mistake_in_the_file_has_its_place(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.yaml"
    text = BLOG.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(SpecError) as raised:
        sandbox.load_world(path)
    assert any(
        message in str(problem) and problem.mark.line > 1 for problem in raised.value.problems
    ), str(raised.value)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        sandbox.load_world(Path("nowhere.yaml"))
