"""Defines the action ``s3.presign``."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Annotated, Any, ClassVar, Literal, Optional, Union
from urllib.parse import parse_qs, urlsplit

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.object_values import Header
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.put_options import Encryption
from rolerunner.actions.requests import open_presigner, translate_errors
from rolerunner.actions.shared_fields import ObjectsField, OnEmpty, RequestFields
from rolerunner.actions.source_objects import check_one_source, collect_source
from rolerunner.common.wording import format_count
from rolerunner.errors import StepError
from rolerunner.iam.actions_table import KEY_WRITE_ACTIONS, derive_key_permissions
from rolerunner.model import Permission, Role, S3Uri
from rolerunner.redaction.secrets import SecretValue, register_secret
from rolerunner.selection.manifest import ObjectList
from rolerunner.selection.names import format_timestamp
from rolerunner.spec.field_types import DYNAMIC, S3Object, Seconds, Text

MAX_EXPIRES = 7 * 86_400
"""Seconds that a signature of version 4 is valid at most (S3 user guide, presigned URLs)."""
MAX_URLS = 1000
"""URLs of one step: they are outputs in memory."""
_UNKNOWN_SESSION = 3600
"""Seconds that the session of the job's own role is taken to last."""
_RESPONSE_HEADERS = {
    "cache_control": "ResponseCacheControl",
    "content_disposition": "ResponseContentDisposition",
    "content_encoding": "ResponseContentEncoding",
    "content_language": "ResponseContentLanguage",
    "content_type": "ResponseContentType",
}
_SENT_HEADERS = {
    "ContentType": "content-type",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "RequestPayer": "x-amz-request-payer",
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
}
"""Parameters that are signed headers, which the request to the URL must send as well."""


class S3Presign(FilterFields, RequestFields, Action):
    """Make URLs by which others read or store objects without credentials, for a limited time.

    A URL is a secret: whoever has it may use it. It is hidden in logs, results and reports, kept in
    no state, and may flow into arguments of ``python.call`` and parameters of ``aws.call``. It ends
    with the session that signed it, whatever ``expires`` says: an hour at most after a role was
    assumed from a Glue job, whose own role makes it a chained one. ``expires`` beyond that is an
    error, unless ``on_short_session`` is warn. ``expires_at`` is when the URLs end in fact.
    """

    kind: ClassVar[str] = "s3.presign"
    object_verb: ClassVar[str] = "presign"
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://publish/report.pdf",
        "expires": "30m",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "url": "the URL, if there is one object; otherwise empty; a secret",
        "urls": "the list of all URLs; a secret",
        "uris": "the list of their objects' s3:// URIs, in the same order",
        "count": "how many URLs",
        "expires_at": "when they end, in ISO 8601 UTC",
        "headers": "headers that a request to the URLs must send, besides Host",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "url": "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=0",
        "urls": ["https://bucket.s3.amazonaws.com/key?X-Amz-Signature=0"],
        "uris": ["s3://bucket/key"],
        "count": 1,
        "expires_at": "2026-01-31T00:00:00Z",
        "headers": {"content-type": "text/csv"},
    }

    source: Optional[S3Object] = Field(
        None, description="An object.", examples=["s3://publish/report.pdf"]
    )
    objects: ObjectsField = Field(
        None,
        description=(
            "Objects that another step listed, a list of s3:// URIs, or a file that lists "
            "objects; instead of source."
        ),
        examples=["${{ steps.find.objects }}"],
    )
    method: Annotated[Literal["GET", "PUT"], DYNAMIC] = Field(
        "GET", description="GET to read an object, PUT to store it.", examples=["PUT"]
    )
    expires: Annotated[Seconds, Field(ge=1, le=MAX_EXPIRES)] = Field(
        900.0, description="How long the URLs are valid; 7d at most.", examples=["30m"]
    )
    on_short_session: Annotated[Literal["error", "warn"], DYNAMIC] = Field(
        "error",
        description="What to do when the session ends before 'expires': error or warn.",
        examples=["warn"],
    )
    limit: Annotated[int, Field(ge=1, le=MAX_URLS), DYNAMIC] = Field(
        100,
        description="Maximum number of objects; if there are more, no URL is made.",
        examples=[10],
    )
    version: Optional[Text] = Field(
        None,
        description="The version of 'source'; by default the one that is current at the request.",
        examples=["3HL4kqtJlcpXroDTDmJ"],
    )
    response_headers: dict[str, Header] = Field(
        default_factory=dict,
        description=(
            "For GET: headers of the response; cache_control, content_disposition,"
            " content_encoding, content_language, content_type."
        ),
        examples=[{"content_disposition": "attachment; filename=report.pdf"}],
    )
    content_type: Optional[Header] = Field(
        None,
        description="For PUT: the media type (Content-Type) that the request must send.",
        examples=["text/csv"],
    )
    encryption: Optional[Encryption] = Field(
        None,
        description="For PUT: server-side encryption; by default that of the bucket.",
        examples=[{"type": "aws:kms", "key": "alias/orders"}],
    )
    on_empty: OnEmpty = Field(
        "error", description="What to do when nothing matches: error, warn or ok.", examples=["ok"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Presign":
        check_one_source(self.source, self.objects, self.kind)
        unknown = [name for name in self.response_headers if name not in _RESPONSE_HEADERS]
        if unknown:
            known = ", ".join(_RESPONSE_HEADERS)
            raise ValueError(f"'response_headers' has '{unknown[0]}', and S3 takes {known}")
        if self.version is not None and self.source is None:
            raise ValueError("'version' applies to 'source' only; listed objects have theirs")
        given: dict[str, dict[str, Any]] = {
            "GET": {"content_type": self.content_type, "encryption": self.encryption},
            "PUT": {"response_headers": self.response_headers or None, "version": self.version},
        }
        for name, value in given.get(self.method, {}).items():
            if value is not None:
                raise ValueError(f"'{name}' does not apply to 'method: {self.method}'")
        if isinstance(self.encryption, Encryption) and self.encryption.type == "SSE-C":
            raise ValueError("a URL cannot carry the key of 'type: SSE-C'")
        return self

    @classmethod
    def is_secret_output(cls, fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
        """Returns True for the URLs."""
        return path[0] in ("url", "urls") or super().is_secret_output(fields, path)

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Signs a URL for each object; nothing is sent but what finds the objects."""
        role = context.roles["role"]
        uris = list(self._find_objects(context))
        ends = self._find_end(context, role)
        headers = {_SENT_HEADERS[name]: text for name, text in self._signed_parameters().items()}
        signed = list(self._sign(uris, headers, context, role))
        return {
            "url": signed[0][1] if len(signed) == 1 else "",
            "urls": [url for _, url in signed],
            "uris": [str(uri) for uri, _ in signed],
            "count": len(signed),
            "expires_at": format_timestamp(datetime.fromtimestamp(ends, timezone.utc)),
            "headers": headers,
        }

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """GetObject or PutObject, which the URLs use; ListBucket tells whether an object exists."""
        if self.method == "PUT":
            key = self.encryption.key if self.encryption is not None else None
            needed = [
                *source_permissions("s3:PutObject", self.source, self.objects),
                *(derive_key_permissions(KEY_WRITE_ACTIONS, key) if key else []),
            ]
            return {"role": needed}
        if self.source is None:
            return {"role": source_permissions("s3:GetObject", None, self.objects)}
        actions = ["s3:GetObject", *(["s3:GetObjectVersion"] if self.version is not None else [])]
        return {
            "role": [
                list_permission(self.source),
                *(object_permission(action, self.source) for action in actions),
            ]
        }

    def list_read_fields(self) -> tuple[str, ...]:
        """Returns nothing for PUT, whose objects need not exist."""
        return () if self.method == "PUT" else super().list_read_fields()

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns how many URLs would be made."""
        return {"count": sum(1 for _ in self._find_objects(context))}

    def _find_objects(self, context: StepContext) -> Iterator[Any]:
        """Yields the objects; those to be read must exist. Raises StepError if there are more."""
        if self.method == "PUT" and not isinstance(self.objects, ObjectList):
            named = [self.source] if self.source is not None else list(self.objects or ())
            self._check_limit(len(named))
            yield from dict.fromkeys(named)
            return
        storage = context.storage(access=self.access())
        if self.version is not None and self.source is not None:
            storage.head(self.source, self.version)
            yield _Version(self.source, self.version)
            return
        found = collect_source(self.source, self.objects, self.selection(), storage, context)
        if found.refused and found.refused[0].error is not None:
            raise found.refused[0].error
        if found.total == 0:
            handle_empty_source(self.on_empty, str(self.source or "the listed objects"), context)
        self._check_limit(found.total)
        for info in found.objects:
            uri = found.objects.uri(info)
            is_listed = isinstance(self.objects, ObjectList)
            pinned = is_listed and info.version and self.method == "GET"
            yield _Version(uri, info.version) if pinned else uri

    def _check_limit(self, count: int) -> None:
        if count > self.limit:
            raise StepError(
                f"{format_count(count, 'URL')} would be made, but 'limit' is {self.limit:,};"
                " none was made",
                hint=f"raise 'limit', up to {MAX_URLS:,}, or choose fewer objects by 'include'",
                type="Limit",
            )

    def _find_end(self, context: StepContext, role: Role) -> float:
        """Returns when the URLs end, in seconds since the epoch.

        Raises StepError if that is the end of the session, before 'expires'.
        """
        context.sessions.assume(role)
        wanted = time.time() + self.expires
        session = context.sessions.find_expiry(role)
        if session is None and self.expires > _UNKNOWN_SESSION:
            context.note(
                "warning",
                "the URLs end with the session of the job's own role, whose end is not known here",
                {},
            )
        if session is None or session >= wanted:
            return wanted
        left = max(0, int(session - time.time()))
        message = (
            f"the session of the role '{role}' ends in {left:,} s, and its URLs with it, before"
            f" 'expires' ({self.expires:g} s)"
        )
        if self.on_short_session == "error":
            hint = (
                "lower 'expires', or raise the role's 'duration', which is an hour at most for a"
                " role that another role assumes, as in a Glue job; a user of longer access needs"
                " a role or a user of their own; 'on_short_session: warn' makes the URLs anyway"
            )
            raise StepError(message, hint=hint, type="ShortSession")
        context.note("warning", message, {})
        return session

    def _signed_parameters(self) -> dict[str, Any]:
        """Returns the parameters that the URL's user must send as headers."""
        encryption = self.encryption.options() if self.encryption is not None else {}
        values: dict[str, Any] = {
            "ContentType": self.content_type,
            **encryption,
            "RequestPayer": "requester" if self.request_payer else None,
            "ExpectedBucketOwner": self.expected_bucket_owner,
        }
        texts = {True: "true", False: "false"}
        return {
            name: texts[value] if isinstance(value, bool) else value
            for name, value in values.items()
            if value is not None
        }

    def _sign(
        self, uris: Sequence[Any], headers: Mapping[str, Any], context: StepContext, role: Role
    ) -> Iterator[tuple[S3Uri, str]]:
        parameters = self._signed_parameters()
        if "BucketKeyEnabled" in parameters:
            parameters["BucketKeyEnabled"] = parameters["BucketKeyEnabled"] == "true"
        for name, value in self.response_headers.items():
            parameters[_RESPONSE_HEADERS[name]] = value
        presigners: dict[str, Any] = {}
        for each in uris:
            uri, version = (each.uri, each.version) if isinstance(each, _Version) else (each, "")
            if uri.bucket not in presigners:
                presigners[uri.bucket] = open_presigner(context, role, uri.bucket)
            place = {"Bucket": uri.bucket, "Key": uri.key}
            with translate_errors(context, role, str(uri)):
                url = presigners[uri.bucket](
                    f"{self.method.lower()}_object",
                    Params={
                        **place, **parameters, **({"VersionId": version} if version else {}),
                    },
                    ExpiresIn=int(self.expires),
                    HttpMethod=self.method,
                )  # fmt: skip
            yield uri, _seal_url(url, headers, uri)


class _Version:
    """An object in one of its versions."""

    def __init__(self, uri: S3Uri, version: str) -> None:
        self.uri = uri
        self.version = version


def _seal_url(url: str, headers: Mapping[str, Any], uri: S3Uri) -> Union[str, SecretValue]:
    """Returns the URL as a secret; its signature is masked wherever it appears.

    Raises StepError if a header is signed that its user does not know of.
    """
    query = parse_qs(urlsplit(url).query)
    for signature in query.get("X-Amz-Signature", ()):
        register_secret(signature)
    signed = set(";".join(query.get("X-Amz-SignedHeaders", ())).split(";"))
    unknown = signed - {"host", *headers}
    if unknown or "X-Amz-Signature" not in query:
        raise StepError(
            f"{uri}: boto3 signed the URL in an unexpected way"
            f" (headers: {', '.join(sorted(signed))})",
            hint="use another version of boto3",
            type="UnexpectedSignature",
        )
    return SecretValue(url)
