"""Lists objects, versions and folders through boto3, one page after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.responses import parse_listed_object, parse_versions
from rolerunner.storage.sorting import sort_objects
from rolerunner.storage.tuning import KEYS_PER_DELETE


@dataclass(frozen=True)
class ObjectLister:
    """Lists what is below a prefix."""

    requests: BotoRequests

    def list(
        self,
        prefix: S3Uri,
        *,
        versions: bool = False,
        after: str = "",
        page: int = KEYS_PER_DELETE,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[ObjectInfo]:
        """Yields every object or version under a prefix in the order of keys."""
        cancel = cancel or Cancel()
        objects = self._iterate_pages(
            prefix, versions=versions, after=after, page=page, cancel=cancel
        )
        if not prefix.in_directory_bucket:
            return objects
        # a directory bucket lists in no order, and callers compare listings side by side
        return sort_objects(objects, lambda info: info.key.encode())

    def _iterate_pages(
        self, prefix: S3Uri, *, versions: bool, after: str, page: int, cancel: Cancel
    ) -> Iterator[ObjectInfo]:
        method = "list_object_versions" if versions else "list_objects_v2"
        options: dict[str, Any] = {"MaxKeys": page} if page != KEYS_PER_DELETE else {}
        if after:
            options["KeyMarker" if versions else "StartAfter"] = after
        with self.requests.translate_errors(prefix):
            for response in self.requests.iterate_pages(method, prefix, **options):
                cancel.stop_if_set()
                if versions:
                    yield from parse_versions(response)
                else:
                    yield from map(parse_listed_object, response.get("Contents", ()))

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """Yields the objects directly under a prefix, and the prefixes below it as text."""
        with self.requests.translate_errors(prefix):
            for page in self.requests.iterate_pages("list_objects_v2", prefix, Delimiter="/"):
                yield from map(parse_listed_object, page.get("Contents", ()))
                yield from (str(each["Prefix"]) for each in page.get("CommonPrefixes", ()))
