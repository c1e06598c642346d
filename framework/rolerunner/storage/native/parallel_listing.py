"""Lists objects with several pages in flight, in the order of keys all the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Union

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.keyspace import KeyRange
from rolerunner.model import S3Uri
from rolerunner.storage.boto.errors import name_prefix
from rolerunner.storage.boto.retries import backoff_seconds, can_retry
from rolerunner.storage.http.event_loop import EventLoop
from rolerunner.storage.http.list_parser import ListPage
from rolerunner.storage.http.tasks import RetryPolicy, Task
from rolerunner.storage.native.client import NativeClient
from rolerunner.storage.native.listing import (
    MAX_REQUESTS,
    Listing,
    RangeCursor,
    UnorderedListing,
    build_page_query,
)
from rolerunner.storage.native.templates import UnsupportedRequest
from rolerunner.storage.protocol import ObjectInfo

_PageResult = tuple[RangeCursor, Union[ListPage, Exception]]


class ParallelLister:
    """Lists the objects below a prefix over an event loop."""

    def __init__(self, client: NativeClient) -> None:
        self._client = client

    def list(
        self, prefix: S3Uri, within: KeyRange, cancel: Cancel, *, parallel: bool
    ) -> Iterator[ObjectInfo]:
        """Yields the objects of a range of keys. Raises StepError, UnsupportedRequest.

        The key space is split if ``parallel`` and if the server can start at any key.
        """
        loop, listing = self._open_loop(prefix, within, cancel, splits=parallel)
        try:
            with name_prefix(prefix), self._client.requests.translate_errors(prefix):
                yield from _iterate_objects(listing, loop)
            return
        except UnorderedListing:
            yielded = listing.yielded
        # the server cannot start at any key, so pages come one after the other
        loop, listing = self._open_loop(prefix, within, cancel, splits=False)
        with name_prefix(prefix), self._client.requests.translate_errors(prefix):
            yield from islice(_iterate_objects(listing, loop), yielded, None)

    def _open_loop(
        self, prefix: S3Uri, within: KeyRange, cancel: Cancel, *, splits: bool
    ) -> tuple[EventLoop, Listing]:
        loop, policy = self._client.open_loop(cancel, connections=MAX_REQUESTS)

        def request(cursor: RangeCursor) -> None:
            loop.begin(0, self._fetch_page(prefix, cursor, policy))

        memory = self._client.tuning.memory // 2
        return loop, Listing(prefix.key, request, memory, splits=splits, within=within)

    def _fetch_page(
        self, prefix: S3Uri, cursor: RangeCursor, policy: RetryPolicy
    ) -> Task[_PageResult]:
        """Returns the next page of a cursor, or the error of the last attempt."""
        bucket, options = S3Uri(prefix.bucket), {"Prefix": prefix.key}
        tried = 1
        while True:
            try:
                response = yield from self._client.send(
                    policy, "list_objects_v2", bucket, options, query=build_page_query(cursor)
                )
                return cursor, ListPage(response.body)
            except (StepError, ClientError, BotoCoreError, UnsupportedRequest) as error:
                if not can_retry(error, tried):
                    return cursor, error
            yield backoff_seconds(tried)
            tried += 1


def _iterate_objects(listing: Listing, loop: EventLoop) -> Iterator[ObjectInfo]:
    listing.request_pages()
    for cursor, page in loop.run(()):
        if isinstance(page, Exception):
            raise page
        listing.add_page(cursor, page)
        # the first page's latency shows how far the server is, so its objects wait for the second
        if listing.yielded:
            listing.request_pages()
            loop.assign_requests()  # the next pages arrive while the caller works on these objects
        yield from listing.pop_objects()
        listing.request_pages()
