from __future__ import annotations

from typing import Optional

import pytest

from rolerunner.errors import UsageError
from rolerunner.sessions.botocore_setup import BotocoreSessions, build_client_config
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys

KEYS = Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests")


@pytest.mark.parametrize(
    ("endpoint", "is_path_style"),
    [
        (None, False),
        ("https://s3.eu-west-1.amazonaws.com", False),
        ("https://s3.cn-north-1.amazonaws.com.cn:443/", False),
        ("https://s3.amazonaws.com.example.org", True),
        ("http://127.0.0.1:9000", True),
    ],
)
def test_other_servers_are_addressed_by_path(endpoint: Optional[str], is_path_style: bool) -> None:
    config = build_client_config(endpoint)
    assert (config.s3 == {"addressing_style": "path"}) is is_path_style


def test_a_region_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="set AWS_REGION"):
        BotocoreSessions(JobIdentity(keys=KEYS)).require_region()
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert BotocoreSessions(JobIdentity(keys=KEYS)).require_region() == "eu-west-1"
    assert BotocoreSessions(JobIdentity("us-east-1", keys=KEYS)).find_region() == "us-east-1"


def test_a_missing_profile_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(UsageError, match="set AWS_PROFILE"):
        BotocoreSessions(JobIdentity(profile="no-such-profile")).find_region()
