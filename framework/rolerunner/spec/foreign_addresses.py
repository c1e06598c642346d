"""Suggests s3:// URIs and role ARNs for the forms that other tools accept."""

from __future__ import annotations

import re

_NAME = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_REGION = r"(?:[.-](?:dualstack\.)?[a-z]{2}(?:-[a-z]+)+-\d)?"
_URIS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"s3[an]?:/+(?P<rest>[^/].*)\Z",
        rf"https?://(?P<bucket>{_NAME})\.s3{_REGION}\.amazonaws\.com/(?P<key>[^?]*)",
        rf"https?://s3{_REGION}\.amazonaws\.com/(?P<rest>[^?]+)",
        r"arn:aws[a-z-]*:s3:::(?P<rest>[^*]+)",
        rf"(?P<rest>{_NAME}/.*)\Z",
    )
)
_ASSUMED = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([\w+=,.@-]+)(?:/.*)?\Z")
_OF_AN_ACCOUNT = re.compile(
    r"arn:(aws[a-z-]*):iam:[a-z0-9-]*:?(\d{12}):role/([\x21-\x7e]+)\Z", re.ASCII
)
_AROUND = " \t\"'\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb"
"""Spaces and quotation marks, also those that text processors write."""
_PRINCIPAL = re.compile(r"arn:aws[a-z-]*:iam::\d*:(user|group|instance-profile|root)\b")
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}\Z", re.ASCII)


def suggest_s3_uri(text: str) -> str:
    """Returns the hint for a location that is not an s3:// URI; empty if it cannot be known."""
    bare = text.strip(_AROUND)
    if bare.startswith("s3://"):
        return f"write {bare}" if bare != text else ""
    for pattern in _URIS:
        found = pattern.match(bare)
        if found:
            parts = found.groupdict()
            return f"write s3://{parts.get('rest') or parts['bucket'] + '/' + parts['key']}"
    return ""


def suggest_role_arn(text: str) -> str:
    """Returns the hint for a text that is not a role's ARN; empty if it cannot be known."""
    bare = text.strip(_AROUND)
    found = _ASSUMED.match(bare) or _OF_AN_ACCOUNT.match(bare)
    if found:
        partition, account, name = found.groups()
        right = f"arn:{partition}:iam::{account}:role/{name}"
        return f"write {right}" if right != text else ""
    principal = _PRINCIPAL.match(bare)
    if principal:
        return f"only a role can be assumed, not a principal such as {principal[1]}"
    if _ROLE_NAME.match(bare) and not bare.isdigit():
        return f"write the whole ARN, arn:aws:iam::ACCOUNT:role/{bare}"
    return ""
