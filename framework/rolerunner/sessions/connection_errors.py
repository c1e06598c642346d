"""Describes failed connections to STS, S3 and other services alike, and says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping

from botocore.exceptions import BotoCoreError

from rolerunner.common.json_values import safe_text

_PROXY_REFUSAL = re.compile(r"Tunnel connection failed: \d{3}[\w -]*")
_PROXY_HINT = (
    "check the proxy in HTTPS_PROXY or HTTP_PROXY, and the user and password before its host, with"
    " special characters as %XX; or name the endpoint's host in NO_PROXY"
)
_TLS_HINT = (
    "set AWS_CA_BUNDLE, or 'ca_bundle' in the profile, to a file with the certificates that signed"
    " the server's; check that the endpoint has the host name of the certificate. Servers that"
    " require a certificate of the client are not supported"
)
CONNECTION_HINTS: Mapping[str, str] = {"ProxyConnectionError": _PROXY_HINT, "SSLError": _TLS_HINT}
"""Name of an error of botocore's -> what to do about it."""


def describe_connection_error(error: BotoCoreError) -> str:
    """Returns an error's text, with the answer of a proxy, which botocore leaves out."""
    refusal = _PROXY_REFUSAL.search(safe_text(error.kwargs.get("error", "")))
    text = safe_text(error)
    return f"{text}: {refusal[0]}" if refusal and refusal[0] not in text else text
