"""The identity a job starts with, before it assumes a role, and the endpoints it calls."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Optional
from urllib.parse import urlsplit

from rolerunner.errors import UsageError
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from rolerunner.sessions.keys import Keys

_ASSUMED_ROLE_ARN = re.compile(r"arn:[^:]+:sts::(\d{12}):assumed-role/([^/]+)/")


@dataclass(frozen=True)
class JobIdentity:
    """The job's own identity: by default the one boto3 finds, such as Glue's role or a profile.

    ``keys``, where set, are used instead (by the sandbox). ``endpoints`` maps a service to its
    URL; the entry for "" holds for all services. With ``is_shared``, executors of this machine get
    the keys, by a file that only the user can read.
    """

    region: str = ""
    profile: str = ""
    keys: Optional[Keys] = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    is_shared: bool = False


def find_endpoint(service: str, endpoints: Mapping[str, str]) -> Optional[str]:
    """Returns the configured endpoint of a service, or None for the default of AWS.

    AWS_ENDPOINT_URL_<SERVICE> and AWS_ENDPOINT_URL apply where ``endpoints`` has no entry. boto3
    reads the two by itself since 1.28, but Glue ships older versions.
    """
    configured = endpoints.get(service) or endpoints.get("")
    if configured or os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return configured or None
    name = service.upper().replace("-", "_")
    return os.environ.get(f"AWS_ENDPOINT_URL_{name}") or os.environ.get("AWS_ENDPOINT_URL") or None


def check_endpoints(endpoints: Mapping[str, str]) -> None:
    """Raises UsageError for a variable with an endpoint that is no URL of a server.

    The value is not shown: it may hold a password.
    """
    if endpoints.get(""):
        return  # no variable applies
    for name, url in sorted(os.environ.items()):
        if name.startswith("AWS_ENDPOINT_URL") and url and not _is_server_url(url):
            raise UsageError(
                f"{name} is not the URL of a server: write http:// or https://, the host, and its"
                " port if it is not the usual one"
            )


def _is_server_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        is_server = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is no number, or half an IPv6 address
        return False
    return is_server and not url.query and not url.fragment and text == text.strip()


def parse_assumed_role(arn: str) -> Optional[tuple[str, str]]:
    """Returns the account and role name of an assumed-role ARN; None for any other text."""
    match = _ASSUMED_ROLE_ARN.match(arn)
    return (match.group(1), match.group(2)) if match else None
