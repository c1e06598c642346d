"""``rolerunner check``: reports allowed and missing permissions, and changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rolerunner import api, sandbox
from rolerunner.cli import main
from rolerunner.policies.probe import probe_permissions
from rolerunner.sandbox.proxy import Proxy, ProxyHandler
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.registry import Sessions
from tests.conftest import CONFIGS, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

ACCOUNT = "444455556666"


def test_what_the_jobs_role_may_not_is_said_with_the_statement_to_add() -> None:
    completed = CliRunner().invoke(
        main, ["check", str(CONFIGS / "blog_cross_role.yaml"), "--sandbox", "--json"]
    )
    assert completed.exit_code == 4
    found = {(each["step"], each["action"]): each for each in json.loads(completed.stdout)}
    assert found["refused", "s3:GetObject"]["answer"] == "no"
    assert '"Action": "s3:GetObject"' in found["refused", "s3:GetObject"]["remedy"]
    assert found["fetch", "s3:GetObject"]["answer"] == "yes"


def test_nothing_is_known_to_be_missing_where_a_run_succeeds() -> None:
    completed = CliRunner().invoke(
        main, ["check", str(CONFIGS / "partner_exchange.yaml"), "--sandbox"]
    )
    assert completed.exit_code == 0, completed.output


def test_a_refused_role_ends_with_3_and_both_statements(rolerunner: Callable[..., Any]) -> None:
    completed = rolerunner(
        "check", CONFIGS / "partner_exchange.yaml", "--sandbox", "-p", "external_id=wrong"
    )
    assert completed.returncode == 3
    assert "1. the caller's own policy needs:" in completed.stderr
    assert (
        "2. the trust policy of arn:aws:iam::222233334444:role/landing-reader needs:"
        in completed.stderr
    )
    assert "Traceback" not in completed.stderr


@pytest.mark.parametrize(
    ("allowed", "answers"),
    [
        (
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            {"s3:PutObject": "yes", "s3:AbortMultipartUpload": "yes"},
        ),
        (["s3:AbortMultipartUpload"], {"s3:PutObject": "no", "s3:AbortMultipartUpload": "unknown"}),
        (["s3:PutObject"], {"s3:PutObject": "yes", "s3:AbortMultipartUpload": "no"}),
    ],
)
def test_a_put_is_proved_by_a_multipart_upload_that_is_aborted(
    allowed: list[str], answers: dict[str, str], tmp_path: Path
) -> None:
    text = (CONFIGS / "partner_exchange.sandbox.yaml").read_text()
    (tmp_path / "w.yaml").write_text(
        text.replace('["s3:PutObject", "s3:AbortMultipartUpload"]', json.dumps(allowed))
    )
    with sandbox.start_sandbox(sandbox.load_world(tmp_path / "w.yaml")) as running:
        s3 = running.client("s3", ACCOUNT)
        plan = api.plan(api.load(CONFIGS / "partner_exchange.yaml"))
        found = {
            each.action: each
            for each in probe_permissions(plan, Sessions(identity_of(running)))
            if each.step == "publish"
        }
        assert {action: each.answer for action, each in found.items()} == answers
        assert s3.list_objects_v2(Bucket="publish").get("Contents") is None, "no object was made"
        left = len(s3.list_multipart_uploads(Bucket="publish").get("Uploads", []))
        assert left == (1 if answers["s3:AbortMultipartUpload"] == "no" else 0), (
            "only where the role may not abort one is left"
        )
    if left:
        assert "is left; the bucket's owner can abort it" in found["s3:AbortMultipartUpload"].remedy


class Dropping(Proxy):
    """Hangs up on requests of one method and operation, passes all others on."""

    def __init__(self, endpoint: str, method: str, query: str) -> None:
        super().__init__(endpoint, _Dropped)
        self.method, self.query, self.dropped = method, query, 0


class _Dropped(ProxyHandler):
    server: Dropping

    def respond(self, body: bytes) -> None:
        if self.command == self.server.method and self.server.query in self.path:
            self.server.dropped += 1
            return self.hang_up()
        return self.answer(*self.forward_request(body))


@pytest.mark.parametrize(
    ("method", "query", "answers"),
    [
        ("DELETE", "uploadId=", {"s3:PutObject": "yes", "s3:AbortMultipartUpload": "unknown"}),
        ("POST", "uploads", {"s3:PutObject": "unknown", "s3:AbortMultipartUpload": "unknown"}),
    ],
)
@pytest.mark.slow
def test_a_lost_connection_leaves_no_upload_unsaid(
    method: str, query: str, answers: dict[str, str]
) -> None:
    with (
        sandbox.start_sandbox(
            sandbox.load_world(CONFIGS / "partner_exchange.sandbox.yaml")
        ) as running,
        Dropping(running.endpoint, method, query).serve_in_background() as proxy,
    ):
        identity = JobIdentity(
            running.region, keys=identity_of(running).keys, endpoints={"": proxy.url}
        )
        plan = api.plan(api.load(CONFIGS / "partner_exchange.yaml"))
        found = {
            each.action: each
            for each in probe_permissions(plan, Sessions(identity))
            if each.step == "publish"
        }
        left = [
            each["UploadId"]
            for each in running.client("s3", ACCOUNT)
            .list_multipart_uploads(Bucket="publish")
            .get("Uploads", [])
        ]
        begun = sum(each.operation == "CreateMultipartUpload" for each in running.requests("s3"))
    assert {action: each.answer for action, each in found.items()} == answers
    assert proxy.dropped, "the proxy was asked"
    assert all(each in found["s3:AbortMultipartUpload"].remedy for each in left)
    assert len(left) == begun == (method == "DELETE"), (
        "it is tried once a place, and not again for the second permission"
    )
