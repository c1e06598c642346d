"""What a role sees: an example of a function for python.call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rolerunner.plugin import FunctionContext


def show_buckets(context: FunctionContext) -> dict[str, Any]:
    """List the names of the account's buckets under the step's role."""
    names = [bucket["Name"] for bucket in context.client("s3").list_buckets()["Buckets"]]
    for name in names:
        context.log(f"sees s3://{name}")
    return {"buckets": names}
