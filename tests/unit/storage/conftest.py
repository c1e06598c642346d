"""Fixtures of storage: each engine over S3 in memory, and no pauses between attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.storage.boto import retries
from tests.unit.storage.engines import open_boto_engine, open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.storage.boto.engine import BotoEngine
    from tests.memory_aws import Store


@pytest.fixture(params=["boto3", "native"])
def engine(request: pytest.FixtureRequest, memory_aws: Store) -> Iterator[Any]:
    """Each engine in turn."""
    del memory_aws
    opened = open_engine(request.param)
    yield opened
    if request.param == "native":
        opened.client.connections.close()


@pytest.fixture
def boto_engine(memory_aws: Store) -> BotoEngine:
    """The plain engine."""
    del memory_aws
    return open_boto_engine()


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the pauses between tries of a transfer short."""
    monkeypatch.setattr(retries, "_BASE_SECONDS", 0.001)
