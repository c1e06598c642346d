"""Posts a message to a webhook. Its URL is a secret, which no error shows.

botocore brings urllib3 along, with the certificates, the proxies of the environment and the
timeouts that its own requests have, and follows no redirect.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

from botocore.awsrequest import AWSRequest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    SSLError,
)
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from rolerunner.errors import StepError
from rolerunner.notifications.undelivered import Undelivered
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import register_secret
from rolerunner.spec.notify_fields import check_webhook_url, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
_MAX_ANSWER = 400
"""Bytes of an error response that are shown."""
_FIRST_ERROR_STATUS, _FIRST_REDIRECT, _TOO_MANY = 400, 300, 429
_GONE = "the webhook was deleted or its URL is wrong: make a new one, and set the secret param"
_HINTS = {403: _GONE, 404: _GONE, 410: _GONE}
_SHORTEST_SECRET = 12
"""Minimum characters of a path that is a secret by itself, such as that of Slack's webhooks."""


def post(url: str, body: bytes, ca_bundle: Optional[str] = None) -> None:
    """Posts a JSON body. Raises StepError, or Undelivered for what may be sent again."""
    try:
        check_webhook_url(url)
    except ValueError as error:
        raise StepError(f"its URL {error}", type="WrongUrl") from None
    _mask_parts(url)
    proxies = {} if is_loopback(url) else get_environ_proxies(url)
    timeouts = (CONNECT_SECONDS, READ_SECONDS)
    session = URLLib3Session(verify=ca_bundle or True, proxies=proxies, timeout=timeouts)
    request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body).prepare()
    request.stream_output = True  # the response may be endless
    try:
        with _say_why():
            response = session.send(request)
            try:
                _check(response.status_code, response)
            finally:
                response.raw.close()
    finally:
        if hasattr(session, "close"):  # botocore has it since 1.22
            session.close()


def _mask_parts(url: str) -> None:
    """Registers the URL and its path as secrets: libraries log and quote them apart."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    for secret in (url, path):
        if len(secret) >= _SHORTEST_SECRET:
            register_secret(secret)


@contextmanager
def _say_why() -> Iterator[None]:
    """Replaces botocore's errors, which quote the URL."""
    try:
        yield
    except ConnectTimeoutError:
        raise Undelivered(
            f"it accepted no connection within {CONNECT_SECONDS:g} s", type="ConnectTimeoutError"
        ) from None
    except ProxyConnectionError:
        raise Undelivered("the proxy cannot be reached", type="ProxyConnectionError") from None
    except SSLError as error:
        raise StepError(
            f"TLS failed: {_find_reason(error) or 'the server speaks no TLS'}",
            hint="AWS_CA_BUNDLE names the certificates to trust",
            type="SSLError",
        ) from None
    except EndpointConnectionError as error:
        reason = _find_reason(error) or "the connection failed"
        raise Undelivered(reason, type="EndpointConnectionError") from None
    except HTTPClientError as error:
        raise StepError("it gave no valid answer", type=type(error).__name__) from None


def _find_reason(error: BaseException) -> str:
    """Returns the text of the system's own error behind botocore's, which holds no URL."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or not isinstance(each, BaseException):
            continue
        seen.add(id(each))
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"the certificate is not trusted: {each.verify_message}"
        if isinstance(each, OSError) and each.strerror:
            return str(each.strerror)
        waiting += [getattr(each, "reason", None), each.__cause__, each.__context__]
        waiting += [each.kwargs.get("error")] if hasattr(each, "kwargs") else []
    return ""


def _check(status: int, response: Any) -> None:
    """Raises StepError unless the webhook accepted the post."""
    if status < _FIRST_REDIRECT:
        return
    if status < _FIRST_ERROR_STATUS:
        raise StepError(
            f"it answered {status}, a redirect, which is not followed: it may lead anywhere",
            hint="use the URL that it leads to",
            type="Redirect",
        )
    text = " ".join(redact_text(_read_start(response)).split())
    message = f"it answered {status}" + (f": {text}" if text else "")
    if status == _TOO_MANY:
        raise Undelivered(message, type="429")
    raise StepError(message, hint=_HINTS.get(status, ""), type=str(status))


def _read_start(response: Any) -> str:
    data = b""
    with suppress(Exception):  # the status alone is enough
        data = response.raw.read(_MAX_ANSWER)
    return data.decode("utf-8", "replace")
