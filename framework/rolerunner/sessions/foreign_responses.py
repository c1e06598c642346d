"""Refuses responses of 2xx that the service did not give, such as the page of a proxy.

botocore reads a body that is not JSON as an empty answer, and none where it expects none, so that a
request which never reached the service would pass for one that succeeded.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError

_STARTS_PAGE = (b"<!doctype html", b"<html")
_CHECKED_PROTOCOLS = frozenset({"json", "rest-json", "query", "ec2", "rest-xml"})
_LONGEST_START = max(map(len, _STARTS_PAGE))


class ForeignResponse(BotoCoreError):  # type: ignore[misc]  # botocore has no annotations
    """A response that the service did not give. botocore does not retry it."""

    fmt = "the response is not one of the service: it is {kind}"


def find_protocol(client: Any) -> str:
    """Returns the protocol of a botocore client; empty if its version does not tell it."""
    model = getattr(getattr(client, "meta", None), "service_model", None)
    metadata = getattr(model, "metadata", {})
    return str(getattr(model, "resolved_protocol", None) or metadata.get("protocol", ""))


def refuse_foreign_body(protocol: str, body: bytes) -> None:
    """Raises ForeignResponse if the body of a successful response is not of this protocol.

    A body may be empty: that is how some operations answer without an output.
    """
    start = body.lstrip()[:_LONGEST_START]
    if not start or protocol not in _CHECKED_PROTOCOLS:
        return
    if start.lower().startswith(_STARTS_PAGE):
        raise ForeignResponse(kind="a page of HTML")
    if protocol == "json" and not start.startswith(b"{"):
        raise ForeignResponse(kind="not an object of JSON")
