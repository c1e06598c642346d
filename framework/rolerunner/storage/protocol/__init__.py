"""Protocols of S3 as actions use it, and the values that they exchange.

Operations on many objects yield an ``Outcome`` for each as it ends, in no set order. A failed
object is a value, so three failures of ten thousand leave the others done. What stops everything
(a refused role, a listing of a bucket that does not exist) is raised.
"""

from rolerunner.storage.protocol.items import (
    Access,
    Copy,
    Get,
    Item,
    ObjectBlock,
    ObjectInfo,
    Outcome,
    Put,
    QuickCheck,
    Store,
    UnfinishedUpload,
    make_object_info,
    make_skipped_copy,
    prepare_retry,
)
from rolerunner.storage.protocol.storages import (
    ByteSink,
    DeletionStorage,
    ListingStorage,
    ObjectRequest,
    ReadingStorage,
    RequestSender,
    RequestStorage,
    Storage,
    TransferStorage,
    UploadStream,
)

__all__ = [
    "Access",
    "ByteSink",
    "Copy",
    "DeletionStorage",
    "Get",
    "Item",
    "ListingStorage",
    "ObjectBlock",
    "ObjectInfo",
    "ObjectRequest",
    "Outcome",
    "Put",
    "QuickCheck",
    "ReadingStorage",
    "RequestSender",
    "RequestStorage",
    "Storage",
    "Store",
    "TransferStorage",
    "UnfinishedUpload",
    "UploadStream",
    "make_object_info",
    "make_skipped_copy",
    "prepare_retry",
]
