"""``s3.presign``: its URLs work without credentials, end in time, and stay secret."""

from __future__ import annotations

import json
import urllib.request
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from rolerunner import api
from rolerunner.actions.builtin.s3_presign import S3Presign
from rolerunner.errors import SpecError
from rolerunner.observers.result import ResultFile
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import SecretValue
from tests import object_steps
from tests.conftest import identity_of
from tests.object_steps import HERE, run_step, run_steps, survey_step, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

WORLD = object_steps.WORLD


@pytest.fixture(autouse=True, scope="module")
def s3(aws: Sandbox) -> Any:
    client = aws.client("s3", HERE)
    for key in ("in/a b+c.txt", "in/ü", "in/c"):
        client.put_object(Bucket="ours", Key=key, Body=key.encode())
    return client


def fetch(url: str, **more: Any) -> tuple[bytes, Any]:
    with urllib.request.urlopen(urllib.request.Request(url, **more), timeout=10) as response:
        return response.read(), response.headers


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_a_url_reads_an_object_with_the_headers_that_it_sets(aws: Sandbox, tmp_path: Path) -> None:
    headers = {"content_disposition": 'attachment; filename="x.txt"', "content_type": "text/x"}
    done = run_step(
        aws,
        tmp_path,
        "s3.presign",
        source="s3://ours/in/a b+c.txt",
        response_headers=headers,
    )
    assert done.error is None
    outputs = done.outputs
    assert (outputs["count"], outputs["headers"]) == (1, {})
    body, answered = fetch(str(outputs["url"]))
    assert body == b"in/a b+c.txt"
    assert answered["Content-Disposition"] == 'attachment; filename="x.txt"'
    left = parse_time(outputs["expires_at"]) - datetime.now(timezone.utc)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


def test_a_put_url_stores_an_object_with_the_headers_that_are_told(
    aws: Sandbox, s3: Any, tmp_path: Path
) -> None:
    done = run_step(
        aws,
        tmp_path,
        "s3.presign",
        source="s3://ours/put/new",
        method="PUT",
        content_type="text/csv",
        encryption={"type": "AES256"},
    )
    assert done.error is None
    url, headers = str(done.outputs["url"]), done.outputs["headers"]
    assert headers == {"content-type": "text/csv", "x-amz-server-side-encryption": "AES256"}
    fetch(url, data=b"1,2", method="PUT", headers=headers)
    found = s3.get_object(Bucket="ours", Key="put/new")
    assert (found["Body"].read(), found["ContentType"]) == (b"1,2", "text/csv")
    with pytest.raises(HTTPError):
        fetch(url)  # it allows PUT alone


def test_urls_of_listed_objects_and_their_versions(aws: Sandbox, s3: Any, tmp_path: Path) -> None:
    old = s3.put_object(Bucket="kept", Key="v/a", Body=b"old")["VersionId"]
    s3.put_object(Bucket="kept", Key="v/a", Body=b"new")
    _, done, one = run_steps(
        aws,
        tmp_path,
        {"id": "find", "action": "s3.list", "source": "s3://kept/v/", "versions": True},
        {"action": "s3.presign", "objects": "${{ steps.find.objects }}"},
        {"action": "s3.presign", "source": "s3://kept/v/a", "version": old},
    )
    assert done.error is None
    bodies = {fetch(str(each))[0] for each in done.outputs["urls"]}
    assert (bodies, done.outputs["url"]) == ({b"old", b"new"}, "")
    assert one.error is None
    assert fetch(str(one.outputs["url"]))[0] == b"old"


def test_a_missing_object_and_too_many_are_refused(aws: Sandbox, tmp_path: Path) -> None:
    missing = run_step(aws, tmp_path, "s3.presign", source="s3://ours/in/none")
    assert missing.error is not None
    assert missing.error.type == "NoSuchKey"
    uris = ["s3://ours/in/c", "s3://ours/in/ü"]
    for method in ("GET", "PUT"):
        many = run_step(aws, tmp_path, "s3.presign", objects=uris, limit=1, method=method)
        assert many.error is not None
        assert "2 URLs would be made, but 'limit' is 1; none was made" in many.error.message
    both = run_step(aws, tmp_path, "s3.presign", objects=uris)
    assert both.outputs["uris"] == uris
    assert [fetch(str(each))[0].decode() for each in both.outputs["urls"]] == [
        "in/c",
        "in/ü",
    ]
    assert survey_step(aws, tmp_path, "s3.presign", objects=uris)["count"] == 2


def test_a_url_does_not_outlive_the_session(aws: Sandbox, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"source": "s3://ours/in/c", "expires": "2d"}
    refused = run_step(aws, tmp_path, "s3.presign", **fields)
    assert refused.error is not None
    assert refused.error.type == "ShortSession"
    assert "the session of the role 'ours' ends in 3,5" in refused.error.message
    assert "an hour at most" in refused.error.hint
    warned = run_step(aws, tmp_path, "s3.presign", **fields, on_short_session="warn")
    assert warned.error is None
    ends = parse_time(warned.outputs["expires_at"])
    assert ends < datetime.now(timezone.utc) + timedelta(hours=1)


def test_urls_are_secrets_everywhere(aws: Sandbox, tmp_path: Path) -> None:
    path = write_spec(
        tmp_path,
        {"id": "sign", "action": "s3.presign", "source": "s3://ours/in/c"},
        {
            "action": "python.call",
            "function": "job.py:use",
            "arguments": {"url": "${{ steps.sign.url }}", "urls": "${{ steps.sign.urls }}"},
        },
    )
    (tmp_path / "job.py").write_text(
        "import urllib.request\n"
        "def use(context, url, urls):\n"
        "    context.log('got ' + url)\n"
        "    assert urls == [url]\n"
        "    return {'body': urllib.request.urlopen(url).read().decode(), 'link': url}\n"
    )
    observer = ResultFile.at(tmp_path / "r.json")
    result = api.run(api.load(path), identity=identity_of(aws), observers=[observer])
    assert result.status == "succeeded", [step.error for step in result.steps]
    url = result.steps[0].outputs["url"]
    assert isinstance(url, SecretValue)
    signature = parse_qs(urlsplit(str(url)).query)["X-Amz-Signature"][0]
    written = (tmp_path / "r.json").read_text()
    assert json.loads(written)["steps"][1]["outputs"]["body"] == "in/c"
    assert signature not in written
    assert signature not in redact_text(f"see {url[:-1]} or {signature}") + repr(url)


def test_a_url_does_not_flow_into_a_key(tmp_path: Path) -> None:
    path = write_spec(
        tmp_path,
        {"id": "sign", "action": "s3.presign", "source": "s3://ours/in/c"},
        {"action": "s3.write", "target": "s3://ours/x", "text": "${{ steps.sign.url }}"},
    )
    with pytest.raises(SpecError, match="secret"):
        api.load(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "s3://box/k", "expires": "8d"}, "604800"),
        ({"source": "s3://box/k", "expires": 0.5}, "greater than or equal to 1"),
        ({"source": "s3://box/"}, "object"),
        ({"source": "s3://box/k", "objects": ["s3://box/k"]}, "either 'source' or 'objects'"),
        ({"source": "s3://box/k", "response_headers": {"etag": "x"}}, "has 'etag', and S3 takes"),
        ({"objects": ["s3://box/k"], "version": "1"}, "applies to 'source' only"),
        ({"source": "s3://box/k", "content_type": "a/b"}, "does not apply to 'method: GET'"),
        ({"source": "s3://box/k", "version": "1", "method": "PUT"}, "apply to 'method: PUT'"),
        (
            {
                "source": "s3://box/k", "method": "PUT",
                "encryption": {"type": "SSE-C", "customer_key": "A" * 43 + "="},
            },
            "cannot carry the key",
        ),
    ],
)  # fmt: skip
def test_fields_that_do_not_fit_are_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        S3Presign.model_validate(fields)
