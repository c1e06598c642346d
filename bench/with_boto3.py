"""The works as a script on boto3 does them, for comparison: KIND BUCKET FOLDER."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

THREADS = 32
PREFIX = "data/"


def client(**keys: str) -> Any:
    return boto3.client(
        "s3", config=Config(max_pool_connections=THREADS, s3={"addressing_style": "path"}), **keys
    )


def keys(s3: Any, bucket: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        yield from (each["Key"] for each in page.get("Contents", ()))


def each(items: Iterable[Any], work: Callable[[Any], object]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for done in pool.map(work, items):
            del done


def download(s3: Any, bucket: str, folder: Path) -> None:
    each(keys(s3, bucket), lambda key: s3.download_file(bucket, key, str(folder / Path(key).name)))


def upload(s3: Any, bucket: str, folder: Path) -> None:
    del bucket
    each(
        sorted(folder.iterdir()),
        lambda path: s3.upload_file(str(path), "written", f"in/{path.name}"),
    )


def listing(s3: Any, bucket: str, folder: Path) -> None:
    del folder
    print(sum(1 for _ in keys(s3, bucket)))


def copy(s3: Any, bucket: str, folder: Path) -> None:
    del folder
    each(
        keys(s3, bucket),
        lambda key: s3.copy_object(
            Bucket="written", Key=f"copied/{key}", CopySource={"Bucket": bucket, "Key": key}
        ),
    )


def relay(s3: Any, bucket: str, folder: Path) -> None:
    del folder
    other = client(
        aws_access_key_id=os.environ["OTHER_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["OTHER_SECRET_ACCESS_KEY"],
    )
    each(
        keys(s3, bucket),
        lambda key: other.upload_fileobj(
            s3.get_object(Bucket=bucket, Key=key)["Body"], "written", f"relayed/{key}"
        ),
    )


def delete(s3: Any, bucket: str, folder: Path) -> None:
    del folder
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        s3.delete_objects(
            Bucket=bucket,
            Delete={
                "Objects": [{"Key": each["Key"]} for each in page.get("Contents", ())],
                "Quiet": True,
            },
        )


if __name__ == "__main__":
    kind, bucket, folder = sys.argv[1:]
    {
        "download": download,
        "upload": upload,
        "list": listing,
        "copy": copy,
        "relay": relay,
        "delete": delete,
    }[kind](client(), bucket, Path(folder))
