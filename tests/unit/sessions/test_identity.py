from __future__ import annotations

from typing import Optional

import pytest

from rolerunner.errors import UsageError
from rolerunner.sessions.identity import (
    JobIdentity,
    check_endpoints,
    find_endpoint,
    parse_assumed_role,
)


@pytest.mark.parametrize(
    ("endpoints", "environment", "expected"),
    [
        ({"s3": "http://a", "": "http://b"}, {"AWS_ENDPOINT_URL": "http://c"}, "http://a"),
        ({"": "http://b"}, {"AWS_ENDPOINT_URL_S3": "http://c"}, "http://b"),
        ({}, {"AWS_ENDPOINT_URL_S3": "http://c", "AWS_ENDPOINT_URL": "http://d"}, "http://c"),
        ({}, {"AWS_ENDPOINT_URL": "http://d"}, "http://d"),
        (
            {},
            {"AWS_ENDPOINT_URL": "http://d", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"},
            None,
        ),
        ({}, {}, None),
    ],
)
def test_the_nearest_endpoint_wins(
    endpoints: dict[str, str],
    environment: dict[str, str],
    expected: Optional[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_endpoint("s3", endpoints) == expected


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws-cn:sts::111122223333:assumed-role/reader/x", ("111122223333", "reader")),
        ("arn:aws:iam::111122223333:role/reader", None),
        ("", None),
    ],
)
def test_only_an_assumed_role_has_a_role(arn: str, expected: Optional[tuple[str, str]]) -> None:
    assert parse_assumed_role(arn) == expected


@pytest.mark.parametrize(
    ("endpoints", "environment"),
    [
        ({"s3": ""}, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}),
        ({}, {"AWS_ENDPOINT_URL": ""}),
    ],
)
def test_an_empty_endpoint_is_none(
    endpoints: dict[str, str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_endpoint("s3", endpoints) is None


def test_hyphens_of_a_service_are_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_APPLICATION_AUTOSCALING", "http://a")
    assert find_endpoint("application-autoscaling", {}) == "http://a"


def test_keys_are_not_shared_unless_a_job_says_so() -> None:
    assert JobIdentity().is_shared is False


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:9000",
        "user:p4ssword@host",
        "ftp://host",
        "http://host:port",
        "http://host:0",
        "http://host?x=1",
        "https://[::1",
        " http://host",
        "http://",
    ],
)
def test_an_endpoint_that_is_no_url_is_a_usage_error(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    with pytest.raises(UsageError, match=r"AWS_ENDPOINT_URL_S3 is not the URL") as raised:
        check_endpoints({})
    assert "p4ssword" not in str(raised.value)
    check_endpoints({"": "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "HTTPS://host/prefix/", "https://[::1]:9000", "https://u:p@host"]
)
def test_endpoints_that_are_urls(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    check_endpoints({})
