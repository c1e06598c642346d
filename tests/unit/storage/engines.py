"""Engines over S3 in memory, which send each request once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.credentials import Credentials

from rolerunner.model import JOB
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.storage.protocol import Access
    from tests.memory_aws import Outcome, Request

LARGE, PART = 10, 4
"""Bytes of a large object and of a part."""


def make_client() -> Any:
    """Returns an S3 client that finds S3 in memory by the environment."""
    return boto3.client(
        "s3",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def open_boto_engine(access: Access | None = None) -> BotoEngine:
    """Returns the plain engine."""
    return BotoEngine(make_client(), JOB, lambda: "", access, tuning=Tuning(large=LARGE, part=PART))


def open_engine(kind: str, access: Access | None = None, bundle: str | None = None) -> Any:
    """Returns the engine ``boto3`` or ``native``. ``bundle``: certificates to trust."""
    plain = open_boto_engine(access)
    if kind == "boto3":
        return plain
    return open_native_engine(plain, Credentials("k", "s"), SocketFactory(bundle, 5, 5))


def once(
    matches: Callable[[Request], bool], outcome: Outcome
) -> tuple[Callable[[Request], Outcome], list[Request]]:
    """Returns a hook that decides the first matching request alone, and the list of those."""
    seen: list[Request] = []

    def hook(request: Request) -> Outcome:
        if not matches(request):
            return None
        seen.append(request)
        return outcome if len(seen) == 1 else None

    return hook, seen
