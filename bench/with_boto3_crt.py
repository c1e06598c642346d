"""Downloads and uploads with boto3's transfer client on awscrt, for comparison: KIND BUCKET FOLDER.

``TransferConfig(preferred_transfer_client="crt")`` makes the same client, but passes it neither a
bundle of certificates nor plain HTTP, so it is made from its parts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.session import Session
from s3transfer.crt import (
    BotocoreCRTCredentialsWrapper,
    BotocoreCRTRequestSerializer,
    CRTTransferManager,
    create_s3_crt_client,
)
from with_boto3 import client, keys

if TYPE_CHECKING:
    from collections.abc import Iterator


def main(kind: str, bucket: str, folder: Path) -> None:
    with create_manager() as manager:
        begun = list({"download": download, "upload": upload}[kind](manager, bucket, folder))
        for future in begun:
            future.result()


def create_manager() -> Any:
    session, region = Session(), os.environ["AWS_REGION"]
    credentials = BotocoreCRTCredentialsWrapper(session.get_credentials())
    secure = os.environ["AWS_ENDPOINT_URL"].startswith("https:")
    runtime = create_s3_crt_client(
        region=region,
        crt_credentials_provider=credentials.to_crt_credentials_provider(),
        use_ssl=secure,
        verify=os.environ.get("AWS_CA_BUNDLE"),
    )
    serializer = BotocoreCRTRequestSerializer(session, {"region_name": region})
    return CRTTransferManager(runtime, serializer)


def download(manager: Any, bucket: str, folder: Path) -> Iterator[Any]:
    for key in keys(client(), bucket):
        yield manager.download(bucket, key, str(folder / Path(key).name))


def upload(manager: Any, bucket: str, folder: Path) -> Iterator[Any]:
    del bucket
    for path in sorted(folder.iterdir()):
        yield manager.upload(str(path), "written", f"in/{path.name}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
