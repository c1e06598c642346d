"""What stored objects may be given: encryption, ACL, storage class, tags, metadata."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Optional
from urllib.parse import urlencode

from pydantic import Field, model_validator

from rolerunner.actions.permissions import on_objects
from rolerunner.model import Permission, S3Uri
from rolerunner.spec.fields import DYNAMIC, Flag, Strict, Text

Acl = Annotated[
    Optional[
        Literal[
            "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control",
        ]
    ],
    DYNAMIC,
]  # fmt: skip


class Encryption(Strict):
    """Server-side encryption."""

    type: Annotated[Literal["AES256", "aws:kms"], DYNAMIC] = Field(description="AES256, or aws:kms.", examples=["aws:kms"])
    key: Optional[Text] = Field(None, description="The KMS key: an id, ARN or alias.", examples=["alias/orders"])
    bucket_key: Flag = Field(True, description="Use an S3 bucket key: fewer KMS requests.", examples=[True])

    @model_validator(mode="after")
    def _key_goes_with_kms(self) -> "Encryption":
        if self.key is not None and self.type == "AES256":
            raise ValueError("a 'key' goes with 'type: aws:kms'")
        return self


def put_options(
    encryption: Optional[Encryption], acl: Optional[str], storage_class: Optional[str], metadata: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, Any]:
    """As PutObject's own parameters; only what is set."""
    options: dict[str, Any] = {"ACL": acl, "StorageClass": storage_class, "Metadata": dict(metadata), "Tagging": urlencode(dict(tags))}
    if encryption is not None:
        options["ServerSideEncryption"] = encryption.type
        options["SSEKMSKeyId"] = encryption.key
        options["BucketKeyEnabled"] = encryption.bucket_key if encryption.type == "aws:kms" else None
    return {name: value for name, value in options.items() if value}


def put_permissions(target: S3Uri, encryption: Optional[Encryption], acl: Optional[str], tags: Mapping[str, str]) -> list[Permission]:
    """PutObject and what the options ask for besides."""
    wanted = [on_objects("s3:PutObject", target)]
    if acl:
        wanted.append(on_objects("s3:PutObjectAcl", target, "acl"))
    if tags:
        wanted.append(on_objects("s3:PutObjectTagging", target, "tags"))
    if encryption is not None and encryption.type == "aws:kms" and encryption.key and encryption.key.startswith("arn:"):
        wanted += [Permission(action, encryption.key, reason="encryption") for action in ("kms:GenerateDataKey", "kms:Decrypt")]
    return wanted
