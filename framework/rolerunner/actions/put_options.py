"""Fields for stored objects: encryption, ACL, storage class, tags, metadata, headers."""

from typing import Annotated, Any, Literal, Optional
from urllib.parse import quote, urlencode

from pydantic import Field, model_validator

from rolerunner.actions.object_values import (
    Expires,
    Header,
    KmsKey,
    Metadata,
    Redirect,
    StorageClass,
    Tags,
)
from rolerunner.actions.permissions import object_permission
from rolerunner.iam.actions_table import KEY_WRITE_ACTIONS, derive_key_permissions
from rolerunner.model import Permission, S3Uri
from rolerunner.spec.field_types import DYNAMIC, CustomerKey, Flag, StrictModel, customer_key_bytes
from rolerunner.storage.kept_times import MTIME

Acl = Annotated[
    Optional[
        Literal[
            "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read",
            "bucket-owner-read", "bucket-owner-full-control",
        ]
    ],
    DYNAMIC,
]  # fmt: skip
Algorithm = Annotated[Literal["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"], DYNAMIC]


class Encryption(StrictModel):
    """Server-side encryption."""

    type: Annotated[Literal["AES256", "aws:kms", "aws:kms:dsse", "SSE-C"], DYNAMIC] = Field(
        description="AES256, aws:kms, aws:kms:dsse, or SSE-C with your own key.",
        examples=["aws:kms"],
    )
    key: Optional[KmsKey] = Field(
        None, description="The KMS key: an id, ARN or alias.", examples=["alias/orders"]
    )
    bucket_key: Flag = Field(
        True, description="Use an S3 bucket key, which saves KMS requests.", examples=[True]
    )
    customer_key: Optional[CustomerKey] = Field(
        None,
        description="For SSE-C: 32 bytes in base64, preferably from a param.",
        examples=["${{ params.customer_key }}"],
    )

    @model_validator(mode="after")
    def _keys_fit_the_type(self) -> "Encryption":
        if self.key is not None and self.type in ("AES256", "SSE-C"):
            raise ValueError("'key' requires 'type: aws:kms'")
        if (self.customer_key is not None) != (self.type == "SSE-C"):
            raise ValueError("'type: SSE-C' and 'customer_key' require each other")
        return self

    def options(self) -> dict[str, Any]:
        """Returns the parameters of PutObject."""
        if self.type == "SSE-C":
            return {
                "SSECustomerAlgorithm": "AES256",
                "SSECustomerKey": customer_key_bytes(self.customer_key or ""),
            }
        kms = self.type != "AES256"
        return {
            "ServerSideEncryption": self.type,
            "SSEKMSKeyId": self.key,
            "BucketKeyEnabled": self.bucket_key if kms else None,
        }


class PutFields(StrictModel):
    """Fields for the properties of stored objects."""

    encryption: Optional[Encryption] = Field(
        None,
        description="Server-side encryption; by default that of the bucket.",
        examples=[{"type": "aws:kms", "key": "alias/orders"}],
    )
    acl: Acl = Field(None, description="A canned ACL.", examples=["bucket-owner-full-control"])
    storage_class: Optional[StorageClass] = Field(
        None, description="The storage class, such as STANDARD_IA.", examples=["STANDARD_IA"]
    )
    content_type: Optional[Header] = Field(
        None, description="The media type (Content-Type).", examples=["text/csv"]
    )
    cache_control: Optional[Header] = Field(
        None, description="The Cache-Control header.", examples=["max-age=3600"]
    )
    content_encoding: Optional[Header] = Field(
        None,
        description="The Content-Encoding header, of objects that are compressed already.",
        examples=["gzip"],
    )
    content_disposition: Optional[Header] = Field(
        None,
        description="The Content-Disposition header, such as the file name of a download.",
        examples=["attachment; filename=orders.csv"],
    )
    content_language: Optional[Header] = Field(
        None, description="The Content-Language header.", examples=["en"]
    )
    expires: Optional[Expires] = Field(
        None,
        description="The Expires header: a date, a time or an HTTP date.",
        examples=["2027-01-31", "${{ run.date | plus('7d') }}"],
    )
    website_redirect: Optional[Redirect] = Field(
        None,
        description="Where a website of the bucket redirects to: /KEY, http:// or https://.",
        examples=["/orders/latest.html"],
    )
    metadata: Optional[Metadata] = Field(
        None,
        description="The user metadata of each object: ASCII text, 2 KB in all.",
        examples=[{"run": "${{ run.id }}"}],
    )
    tags: Optional[Tags] = Field(
        None, description="The tags of each object; 10 at most.", examples=[{"team": "orders"}]
    )
    checksum: Optional[Algorithm] = Field(
        None, description="The checksum that S3 stores with the object.", examples=["SHA256"]
    )

    @property
    def stored_key(self) -> Optional[str]:
        """The customer key of what the step stores, which HEAD needs as well; None without one."""
        return None if self.encryption is None else self.encryption.customer_key

    def check_times(self) -> None:
        """Raises ValueError if two fields set the metadata of modification times."""
        if getattr(self, "keep_times", False) is True and any(
            name.lower() == MTIME for name in self.metadata or ()
        ):
            raise ValueError("'keep_times' sets the metadata 'mtime'; leave it out of 'metadata'")

    def put_options(self) -> dict[str, Any]:
        """Returns the parameters of PutObject, without those that the step does not set."""
        options: dict[str, Any] = {
            "ACL": self.acl,
            "StorageClass": self.storage_class,
            "ContentType": self.content_type,
            "CacheControl": self.cache_control,
            "ContentEncoding": self.content_encoding,
            "ContentDisposition": self.content_disposition,
            "ContentLanguage": self.content_language,
            "Expires": self.expires,
            "WebsiteRedirectLocation": self.website_redirect,
            "Metadata": None if self.metadata is None else dict(self.metadata),
            "ChecksumAlgorithm": self.checksum,
            "Tagging": None if self.tags is None else urlencode(dict(self.tags), quote_via=quote),
            **(self.encryption.options() if self.encryption else {}),
        }  # fmt: skip
        return {name: value for name, value in options.items() if value is not None}

    def put_permissions(
        self, target: S3Uri, *, copied: bool = False, multipart: bool = True
    ) -> list[Permission]:
        """Returns PutObject and the permissions that the options need.

        ``copied`` is True if S3 copies tags and annotations of the source as well.
        """
        wanted = [object_permission("s3:PutObject", target)]
        if self.acl:
            wanted.append(object_permission("s3:PutObjectAcl", target, "acl"))
        if self.tags or (copied and self.tags is None):
            wanted.append(object_permission("s3:PutObjectTagging", target, "tags"))
        if copied:
            wanted.append(object_permission("s3:PutObjectAnnotation", target, "annotations"))
        if multipart:
            wanted.append(object_permission("s3:AbortMultipartUpload", target))
        return [*wanted, *self._key_permissions()]

    def _key_permissions(self) -> list[Permission]:
        key = self.encryption.key if self.encryption is not None else None
        return derive_key_permissions(KEY_WRITE_ACTIONS, key) if key else []
