"""Storage of a few objects in memory, for actions that send one kind of request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.actions.base import StepContext
from rolerunner.model import Role, S3Uri
from rolerunner.storage.protocol import Access, ObjectInfo
from tests.unit.actions.context import Recorded, make_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLE = Role("arn:aws:iam::111122223333:role/r", "r")


class FakeStorage:
    """Objects by key, in the order of a listing; ``sent`` has what was asked of it."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self.bodies = bodies
        self.sent: list[tuple[Any, ...]] = []

    def list(self, uri: S3Uri, **more: Any) -> Iterator[ObjectInfo]:
        self.sent.append(("list", uri, more.get("versions", False)))
        for number, (key, body) in enumerate(sorted(self.bodies.items())):
            if key.startswith(uri.key):
                modified = f"2026-01-{31 - number:02}T00:00:00Z"
                yield ObjectInfo(key, len(body), f"e-{key}", modified)

    def read(self, uri: S3Uri, most: int, version: str) -> bytes:
        self.sent.append(("read", uri, most, version))
        return self.bodies[uri.key]

    def write(self, uri: S3Uri, body: bytes, options: dict[str, Any], **more: Any) -> ObjectInfo:
        self.sent.append(("write", uri, body, options, more["repeated"]))
        return ObjectInfo(uri.key, len(body), "etag")


def make_step(
    folder: Path, storage: FakeStorage, recorded: Recorded | None = None, **more: Any
) -> StepContext:
    """Returns the context of a step over a storage in memory."""

    def open_storage(role: Role, access: Access | None, flow: Any) -> FakeStorage:
        storage.sent.append(("open", role.name, access or Access()))
        return storage

    return make_context(folder, recorded, roles={"role": ROLE}, open_storage=open_storage, **more)
