"""Headers of stored objects: what a step sets, what a copy keeps, and what S3 would refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Store

READER, WRITER = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::444455556666:role/writer"
FIELDS = {
    "content_type": "text/csv",
    "cache_control": "max-age=60",
    "content_encoding": "gzip",
    "content_disposition": 'attachment; filename="a b.csv"',
    "content_language": "de, en",
    "expires": "2032-01-31",
    "website_redirect": "https://example.org/new",
}
HEADERS = {
    "content-type": "text/csv",
    "cache-control": "max-age=60",
    "content-encoding": "gzip",
    "content-disposition": 'attachment; filename="a b.csv"',
    "content-language": "de, en",
    "expires": "Sat, 31 Jan 2032 00:00:00 GMT",
    "x-amz-website-redirect-location": "https://example.org/new",
}
WAYS: dict[str, dict[str, Any]] = {
    "upload": {"action": "s3.upload", "role": WRITER, "source": "{tmp}/a"},
    "large upload": {"action": "s3.upload", "role": WRITER, "source": "{tmp}/large"},
    "write": {"action": "s3.write", "role": WRITER, "text": "a"},
    "copy": {"action": "s3.copy", "role": WRITER, "source": "s3://landing/a"},
    "copy in parts": {
        "action": "s3.copy",
        "role": WRITER,
        "source": "s3://landing/large",
        "multipart_above": "5MiB",
    },
    "relay": {
        "action": "s3.copy",
        "source_role": READER,
        "target_role": WRITER,
        "source": "s3://landing/a",
    },
    "large relay": {
        "action": "s3.copy",
        "source_role": READER,
        "target_role": WRITER,
        "source": "s3://landing/large",
    },
}
COPIES = [way for way, step in WAYS.items() if step["action"] == "s3.copy"]
LARGE = 17 << 20


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """Loads a spec with one step."""

    def load_step(way: str, engine: str = "fast", **fields: Any) -> Any:
        step = {
            "id": "it",
            "target": "s3://publish/it",
            **{key: value.replace("{tmp}", str(tmp_path)) for key, value in WAYS[way].items()},
            **fields,
        }
        (tmp_path / "job.yaml").write_text(
            json.dumps({"version": 1, "name": "t", "engine": engine, "steps": [step]})
        )
        return api.load(tmp_path / "job.yaml")

    return load_step


@pytest.fixture(params=["fast", "boto3"])
def store_headers(
    request: pytest.FixtureRequest, memory_aws: Store, load: Any, tmp_path: Path
) -> Callable[..., dict[str, str]]:
    """Runs one step and returns the headers of the object that it stored."""

    def run_step(way: str, source: dict[str, str], **fields: Any) -> dict[str, str]:
        (tmp_path / "a").write_text("a")
        if "large" in way:
            (tmp_path / "large").write_bytes(bytes(LARGE))
        memory_aws.put("landing", "a", "a", headers=dict(source))
        memory_aws.put("landing", "large", bytes(LARGE), headers=dict(source))
        result = api.run(load(way, request.param, **fields))
        assert result.status == "succeeded", result.steps[0].error
        return dict(memory_aws.objects["publish", "it"].headers)

    return run_step


@pytest.mark.parametrize("way", WAYS)
def test_headers_are_stored_with_the_object(way: str, store_headers: Any) -> None:
    stored = store_headers(way, {}, **FIELDS)
    assert {name: stored.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_keeps_the_headers_that_it_does_not_set(way: str, store_headers: Any) -> None:
    source = {**HEADERS, "x-amz-meta-who": "me"}
    stored = store_headers(way, source, content_language="fr", expires="2033-01-01T01:00:00+01:00")
    changed = {"content-language": "fr", "expires": "Sat, 01 Jan 2033 00:00:00 GMT"}
    assert {name: stored.get(name) for name in source} == {**source, **changed}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("content_encoding", "gzip\r\nx-evil: 1", "must not contain a line break"),
        ("content_disposition", "attachment; filename=\u00fc", "must contain ASCII characters"),
        ("content_language", " de", "must not begin or end with a space"),
        ("expires", "tomorrow", "must be a date such as 2027-01-31"),
        ("expires", "2032-02-31", "must be a date"),
        ("expires", "2032-01-31\n", "must be a date"),
        ("expires", 20320131, "must be a date"),
        ("expires", "9999-12-31T23:59:59-12:00", "must be a date"),
        ("expires", "", "must be a date"),
        ("website_redirect", "new.html", "must be an object of the bucket, such as /new.html"),
        ("website_redirect", "javascript:alert(1)", "must be an object of the bucket"),
        ("website_redirect", "/" + 3000 * "a", "must have at most 2,048 characters, not 3,001"),
        ("website_redirect", "/a\nb", "must not contain a line break"),
    ],
)
def test_what_s3_would_refuse_is_a_mistake(field: str, value: Any, message: str, load: Any) -> None:
    with pytest.raises(SpecError, match=message):
        load("write", **{field: value})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2032-01-31", "Sat, 31 Jan 2032 00:00:00 GMT"),
        ("2032-01-31T12:00:00Z", "Sat, 31 Jan 2032 12:00:00 GMT"),
        ("2032-01-31T12:00:00.000+02:00", "Sat, 31 Jan 2032 10:00:00 GMT"),
        ("Sat, 31 Jan 2032 00:00:00 GMT", "Sat, 31 Jan 2032 00:00:00 GMT"),
    ],
)
def test_a_date_becomes_an_http_date(
    value: str, expected: str, load: Any, memory_aws: Store
) -> None:
    assert api.run(load("write", expires=value)).status == "succeeded"
    assert memory_aws.objects["publish", "it"].headers["expires"] == expected


def test_a_date_may_be_calculated(load: Any, memory_aws: Store) -> None:
    assert api.run(load("write", expires="${{ run.date | plus('7d') }}")).status == "succeeded"
    assert memory_aws.objects["publish", "it"].headers["expires"].endswith("00:00:00 GMT")
