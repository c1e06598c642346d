"""Metadata that a copy cannot store again fails its object, and a move keeps the source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.kept_metadata import kept_headers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.memory_aws import Store

ROLES = {
    "reader": "arn:aws:iam::444455556666:role/reader",
    "writer": "arn:aws:iam::444455556666:role/writer",
}
LOST: dict[str, tuple[dict[str, str], str]] = {
    "missing meta": ({"x-amz-missing-meta": "2"}, "metadata"),
    "expires": ({"expires": "0"}, "Expires"),
    "expires in words": ({"expires": "never, ever"}, "Expires"),
    "metadata": ({"x-amz-meta-who": "\u00fc"}, "x-amz-meta-who"),
    "disposition": ({"content-disposition": "attachment; filename=\u00fc"}, "content-disposition"),
}
WAYS: dict[str, dict[str, Any]] = {
    "two roles": {"source_role": "reader"},
    "one role, other headers": {"source_role": "writer", "cache_control": "no-store"},
    "one role, in parts": {"source_role": "writer", "multipart_above": "5MiB"},
    "two roles, large": {"source_role": "reader"},
}


@pytest.fixture(params=["fast", "boto3"])
def run(request: pytest.FixtureRequest, memory_aws: Store, tmp_path: Path) -> Callable[..., Any]:
    """Runs one copy and returns its result."""

    def run_step(**fields: Any) -> Any:
        path = tmp_path / "job.yaml"
        step = {
            "id": "it",
            "action": "s3.copy",
            "target_role": "writer",
            "source": "s3://landing/p/",
            "target": "s3://publish/p/",
            **fields,
        }
        path.write_text(
            json.dumps(
                {
                    "version": 1,
                    "name": "t",
                    "engine": request.param,
                    "roles": ROLES,
                    "steps": [step],
                }
            )
        )
        return api.run(api.load(path)).steps[0]

    return run_step


def size_of(way: str) -> int:
    return {"one role, in parts": 6 << 20, "two roles, large": 17 << 20}.get(way, 3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lost", LOST)
def test_what_would_be_lost_is_a_failure_of_its_object(
    lost: str, way: str, run: Any, memory_aws: Store
) -> None:
    headers, named = LOST[lost]
    memory_aws.put("landing", "p/a", b"x" * size_of(way), headers=dict(headers))
    memory_aws.put(
        "landing",
        "p/b",
        b"plain",
        headers={"x-amz-meta-m": "1", "expires": "Thu, 01 Jan 2032 00:00:00 GMT"},
    )
    step = run(move=True, **WAYS[way])
    assert (step.status, step.error.type) == ("failed", "MetadataLost")
    assert "s3://landing/p/a" in step.error.message
    assert named in step.error.message
    assert sorted(memory_aws.objects) == [("landing", "p/a"), ("publish", "p/b")]
    stored = memory_aws.objects["publish", "p/b"].headers
    assert (stored["x-amz-meta-m"], stored["expires"]) == ("1", "Thu, 01 Jan 2032 00:00:00 GMT")


@pytest.mark.parametrize("way", WAYS)
def test_what_the_step_replaces_is_not_lost(way: str, run: Any, memory_aws: Store) -> None:
    memory_aws.put(
        "landing",
        "p/a",
        b"x" * size_of(way),
        headers={"x-amz-missing-meta": "1", "x-amz-meta-who": "\u00fc"},
    )
    step = run(move=True, metadata={"who": "me"}, **WAYS[way])
    assert (step.status, list(memory_aws.objects)) == ("succeeded", [("publish", "p/a")])
    assert memory_aws.objects["publish", "p/a"].headers["x-amz-meta-who"] == "me"


def test_one_role_leaves_metadata_to_s3(run: Any, memory_aws: Store) -> None:
    memory_aws.put("landing", "p/a", b"x", headers={"x-amz-missing-meta": "1", "expires": "never"})
    assert run(move=True, source_role="writer").status == "succeeded"
    assert memory_aws.objects["publish", "p/a"].headers["expires"] == "never"


@pytest.mark.parametrize(
    "date",
    ["Thu, 01 Jan 2032 00:00:00 GMT", "2032-01-01T00:00:00Z", "2032-01-01T00:00:00.000Z", ""],
)
def test_dates_are_kept(date: str) -> None:
    assert kept_headers(S3Uri("b", "k"), {"expires": date, "etag": '"e"'}, ()) == {"expires": date}


@pytest.mark.parametrize("date", ["0", "-1", "never", "Thu, 41 Jan 2032 00:00:00 GMT"])
def test_what_is_no_date_is_not(date: str) -> None:
    with pytest.raises(StepError, match="is not a date"):
        kept_headers(S3Uri("b", "k"), {"expires": date}, ())
