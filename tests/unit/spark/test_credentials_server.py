"""Sessions that the JVM asks for on loopback, by the protocol of STS."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, Optional
from xml.etree import ElementTree as ET

import pytest

from rolerunner.errors import RoleRefused
from rolerunner.model import JOB, Role
from rolerunner.spark import credentials_server
from rolerunner.spark.credentials_server import LentSession, lend_session

READER = Role("arn:aws:iam::111122223333:role/reader", name="reader")
NOW = 1_800_000_000.0
NAMES = {"sts": "https://sts.amazonaws.com/doc/2011-06-15/"}


class Sessions:
    """Stands in for a run's sessions: the role's name is its access key."""

    def __init__(self, expires_at: Optional[float] = None, refused: bool = False) -> None:
        self.expires_at = expires_at
        self.refused = refused

    def get_credentials(self, role: Role) -> Any:
        def freeze() -> Any:
            if self.refused:
                raise RoleRefused("no", role="reader")
            return SimpleNamespace(access_key=f"AK-{role}", secret_key="s&k", token="t<k")

        return SimpleNamespace(get_frozen_credentials=freeze)

    def find_expiry(self, _: Role) -> Optional[float]:
        return self.expires_at


def ask(lent: Any, token: str, body: str = "Action=AssumeRole&Version=2011-06-15") -> ET.Element:
    headers = {"X-Amz-Security-Token": token} if token else {}
    request = urllib.request.Request(lent.url, body.encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        return ET.fromstring(response.read())


def find(answer: ET.Element, name: str) -> str:
    return answer.findtext(f".//sts:{name}", namespaces=NAMES) or ""


def test_each_token_gives_the_session_of_its_role() -> None:
    sessions: Any = Sessions()
    with lend_session(sessions, READER) as reader, lend_session(sessions, JOB) as job:
        assert reader.url == job.url
        assert reader.url.startswith("http://127.0.0.1:")
        answer = ask(reader, reader.token)
        assert find(answer, "AccessKeyId") == "AK-reader"
        assert find(answer, "SecretAccessKey") == "s&k"
        assert find(answer, "SessionToken") == "t<k"
        assert find(ask(job, job.token), "AccessKeyId") == "AK-job"


@pytest.mark.parametrize(
    ("token", "body", "status", "code"),
    [
        ("", "Action=AssumeRole&", 403, "InvalidClientTokenId"),
        ("wrong", "Action=AssumeRole&", 403, "InvalidClientTokenId"),
        ("ü", "Action=AssumeRole&", 403, "InvalidClientTokenId"),
        ("own", "Action=GetCallerIdentity&", 400, "InvalidAction"),
    ],
)
def test_nothing_is_told_without_the_token(token: str, body: str, status: int, code: str) -> None:
    sessions: Any = Sessions()
    with lend_session(sessions, READER) as lent:
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(lent, str(lent.token) if token == "own" else token, body)
        text = caught.value.read().decode()
        caught.value.close()
    assert (caught.value.code, f"<Code>{code}</Code>" in text) == (status, True)
    assert "AK-reader" not in text


def test_a_token_is_worth_nothing_after_its_step() -> None:
    sessions: Any = Sessions()
    with lend_session(sessions, READER) as other:
        with lend_session(sessions, READER) as lent:
            token = str(lent.token)
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(other, token)
        caught.value.close()
    assert caught.value.code == 403
    with pytest.raises(urllib.error.URLError):  # the port is closed
        ask(lent, token)


@pytest.mark.parametrize(
    ("expires_at", "ends"),
    [
        (None, NOW + credentials_server.MAX_SECONDS),
        (NOW + 100_000, NOW + credentials_server.MAX_SECONDS),
        (NOW + 60, NOW + 60),
    ],
)
def test_the_jvm_asks_again_before_the_session_ends(
    expires_at: Optional[float], ends: float
) -> None:
    sessions: Any = Sessions(expires_at)
    status, text = LentSession(sessions, READER, clock=lambda: NOW).answer()
    assert status == 200
    end = datetime.fromtimestamp(ends, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert f"<Expiration>{end}</Expiration>" in text


def test_a_refusal_is_kept_for_the_step() -> None:
    sessions: Any = Sessions(refused=True)
    lent = LentSession(sessions, READER)
    status, text = lent.answer()
    assert (status, "<Code>AccessDenied</Code>" in text) == (403, True)
    assert isinstance(lent.refusal, RoleRefused)
    assert "token" not in repr(lent)
