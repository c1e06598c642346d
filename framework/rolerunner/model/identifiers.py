"""Names of objects and roles as AWS writes them."""

from __future__ import annotations

import re

from rolerunner.lazy_dataclass import dataclass

_ROLE_ARN = re.compile(
    r"arn:(aws[a-z-]*):iam::(\d{12}):role/((?:[\x21-\x7e]+/)?([\w+=,.@-]{1,64}))\Z", re.ASCII
)
_ACCESS_POINT = (
    r"(arn:aws[a-z-]*:(?:(?:s3|s3-object-lambda):[a-z0-9-]*:\d*:accesspoint"
    r"|s3-outposts:[a-z0-9-]+:\d+:outpost/[^/]+/accesspoint)/[^/]+)(?:/(.*))?\Z"
)
_DIRECTORY_BUCKET = (
    r"arn:aws[a-z-]*:s3express:[a-z0-9-]+:\d{12}:(?:bucket|accesspoint)/([^/]+)(?:/(.*))?\Z"
)
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}\Z")


@dataclass(frozen=True, order=True)
class S3Uri:
    """``s3://bucket/key``. The bucket may be an access point's ARN, the key empty or a prefix.

    A directory bucket, or an access point to one, has its name, as S3 requires.
    Its ARN is parsed too.
    """

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Parses ``s3://...``. Raises ValueError."""
        if not text.startswith("s3://"):
            raise ValueError(f"must be s3://bucket/key, not '{text}'")
        rest = text[len("s3://") :]
        if rest.startswith("arn:"):  # compiles the patterns, which most jobs do not need
            for pattern in (_ACCESS_POINT, _DIRECTORY_BUCKET):
                found = re.match(pattern, rest, re.DOTALL)
                if found:
                    return cls(found.group(1), found.group(2) or "")
        bucket, _, key = rest.partition("/")
        if not _BUCKET.match(bucket):
            raise ValueError(f"'{bucket}' is not a bucket name in '{text}'")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_prefix(self) -> bool:
        """True if it names a folder or a bucket, not an object."""
        return not self.key or self.key.endswith("/")

    def as_folder(self) -> S3Uri:
        """Returns the URI with ``/`` at its end."""
        return self if self.is_prefix else self.join("/")

    @property
    def in_directory_bucket(self) -> bool:
        """True in a directory bucket, which lists in no order and has neither tags nor versions.

        See the S3 user guide, S3 Express One Zone.
        """
        return self.bucket.endswith(("--x-s3", "--xa-s3"))

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rsplit("/", 1)[-1]

    def join(self, relative: str) -> S3Uri:
        """Returns the object ``relative`` under this prefix."""
        return S3Uri(self.bucket, self.key + relative)


@dataclass(frozen=True)
class RoleArn:
    """The parts of a role's ARN. ``path_and_name`` keeps the path, which assumed-role ARNs omit."""

    partition: str
    account: str
    path_and_name: str
    name: str

    @classmethod
    def parse(cls, text: str) -> RoleArn:
        """Parses a role ARN. Raises ValueError."""
        found = _ROLE_ARN.match(text)
        if not found:
            raise ValueError(
                f"'{text}' is not a role ARN such as arn:aws:iam::111122223333:role/name"
            )
        return cls(*found.groups())
