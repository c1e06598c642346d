"""Refuses responses of 2xx that the service did not give, such as the page of a proxy.

botocore reads a body that is not JSON as an empty answer, and none where it expects none, so that a
request which never reached the service would pass for one that succeeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPERATION_HEADER = "X-Amz-Target"
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


def refuse_empty_body(client: Any, headers: Mapping[str, Any], body: bytes) -> None:
    """Raises ForeignResponse for an empty body in place of the JSON that the operation returns.

    ``headers`` are those of the request, of which one names the operation in the protocol JSON.
    """
    if body.strip() or find_protocol(client) != "json":
        return
    target = headers.get(_OPERATION_HEADER, "")
    name = (target.decode() if isinstance(target, bytes) else str(target)).rpartition(".")[2]
    model = client.meta.service_model
    shape = model.operation_model(name).output_shape if name in model.operation_names else None
    if shape is not None and shape.members:
        raise ForeignResponse(kind="empty")


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
