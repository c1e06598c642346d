"""AWS Signature Version 4 in the Authorization header, as S3 wants it.

Source: Amazon S3 API reference, "Authenticating Requests: Using the Authorization Header". Tests
compare it with the examples there and with botocore's signer. S3 signs paths as they are sent,
without normalisation.
"""

from __future__ import annotations

import hmac
import re
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""The payload hash of an unsigned body, which TLS or a checksum header protects."""
_UNSIGNED_HEADERS = frozenset(
    {"connection", "content-length", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"}
)
"""Headers that a proxy may change. botocore does not sign them either."""
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*\Z", re.ASCII)


def quote_key(text: str) -> str:
    """Returns a key as part of a URL path."""
    return text if _PLAIN.match(text) else quote(text, safe="/~")


def build_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns a query string in the order and form that is signed and sent."""
    return "&".join(
        sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    )


class SigningTemplate:
    """Signs requests of one second that share a key and all headers but the values of some.

    What they have in common is computed once: a step signs thousands of requests a second.
    """

    __slots__ = (
        "_authorization",
        "_hashed",
        "_inner",
        "_outer",
        "_sent",
        "is_sound",
        "keys",
        "stamp",
    )

    def __init__(
        self,
        stamp: str,
        keys: Any,
        scope: str,
        key: bytes,
        headers: Mapping[str, str],
        differing: Collection[str],
        payload: str,
    ) -> None:
        """``headers`` are all headers (lower-case names), with any values of the ``differing``.

        ``payload`` is that of ``Signer.create_template``.
        """
        self.stamp, self.keys = stamp, keys
        names = sorted(headers.keys() - _UNSIGNED_HEADERS)
        signed = ";".join(names)
        places = {
            name: f"%({name})s" if name in differing else value.replace("%", "%%")
            for name, value in headers.items()
        }
        self._hashed = (
            "".join([f"{_escape_name(name)}:{_normalize_value(places[name])}\n" for name in names])
            + f"\n{_escape_name(signed)}\n{payload}"
        )
        self._sent = "".join(
            [f"{_escape_name(name)}: {place}\r\n" for name, place in places.items()]
        )
        self._authorization = (
            f"authorization: AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature="
        )
        # an HMAC is a hash of a hash (RFC 2104), and most of both is the same for all requests
        padded = key.ljust(64, b"\0")
        self._inner = sha256(
            padded.translate(_INNER) + f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n".encode()
        )
        self._outer = sha256(padded.translate(_OUTER))
        self.is_sound = all(map(is_header_safe, (*headers, *headers.values())))

    def head(self, method: str, path: str, query: str, values: Mapping[str, str]) -> str:
        """Returns a request's first line and headers.

        ``values`` are those of the differing headers.
        """
        hashed = self._hashed % values
        for value in values.values():
            if " " in value or "\t" in value:
                hashed = self._hashed % {
                    name: _normalize_value(each) for name, each in values.items()
                }
                break
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(sha256(f"{method}\n{path}\n{query}\n{hashed}".encode()).hexdigest().encode())
        outer.update(inner.digest())
        place = f"{path}?{query}" if query else path
        return (
            f"{method} {place} "
            f"HTTP/1.1\r\n{self._sent % values}{self._authorization}{outer.hexdigest()}\r\n\r\n"
        )


def is_header_safe(value: str) -> bool:
    """Returns True if a value can be sent in a header."""
    return value.isascii() and "\n" not in value and "\r" not in value


def _escape_name(name: str) -> str:
    return name.replace("%", "%%")


def _normalize_value(value: str) -> str:
    """Returns a value as S3 signs it: trimmed, with single spaces."""
    return " ".join(value.split())


class Signer:
    """Signs with the current credentials, so that a renewed session is used at once."""

    def __init__(
        self,
        credentials: Any,
        region: str,
        service: str = "s3",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.credentials = credentials
        self.region = region
        self.service = service
        self._clock = clock
        self._second = -1
        self._stamp = ""
        self._derived: Optional[tuple[tuple[Any, str], str, bytes]] = None

    def create_template(
        self,
        last: Optional[SigningTemplate],
        headers: Mapping[str, str],
        differing: Collection[str] = (),
        payload: str = UNSIGNED_PAYLOAD,
    ) -> SigningTemplate:
        """Returns a template for requests sent now: ``last``, if it is still valid.

        Raises RoleRefused.

        ``headers`` (lower-case names, with ``host``) are common to all requests; each request has
        its own values of the ``differing`` ones. ``payload`` is the body's SHA-256 in hex, or one
        of S3's constants for an unsigned body.
        """
        keys = self.credentials.get_frozen_credentials()
        second = int(self._clock())
        if second != self._second:
            self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._second = second
        if last is not None and last.stamp == self._stamp and last.keys == keys:
            return last
        return self.create_template_at(self._stamp, keys, headers, differing, payload)

    def create_template_at(
        self,
        stamp: str,
        keys: Any,
        headers: Mapping[str, str],
        differing: Collection[str] = (),
        payload: str = UNSIGNED_PAYLOAD,
    ) -> SigningTemplate:
        """Returns a template for requests at a time such as 20130524T000000Z."""
        own = {
            "x-amz-date": stamp,
            "x-amz-content-sha256": payload,
            **({"x-amz-security-token": keys.token} if keys.token else {}),
        }
        scope, key = self._scope_and_key(keys.secret_key, stamp[:8])
        return SigningTemplate(
            stamp,
            keys,
            scope,
            key,
            {**headers, **dict.fromkeys(differing, ""), **own},
            differing,
            payload,
        )

    def _scope_and_key(self, secret: str, date: str) -> tuple[str, bytes]:
        """Returns the credential scope and signing key of a day. Thread-safe."""
        derived = self._derived
        if derived is None or derived[0] != (secret, date):
            key = f"AWS4{secret}".encode()
            for part in (date, self.region, self.service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._derived = derived = (
                (secret, date),
                f"{date}/{self.region}/{self.service}/aws4_request",
                key,
            )
        return derived[1:]
