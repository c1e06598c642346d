"""S3 and STS in memory, over HTTP on loopback, with a hook for each request.

They cover cases that the embedded AWS cannot produce. ``store.hook(request)`` is called before a
request is executed, and decides its outcome: None executes it; a ``Response`` such as
``error(503, "SlowDown")`` is sent instead; ``DROP`` closes the connection without executing it;
``LOSE`` executes it and closes the connection before the response. ``store.after(request)`` is
called after a request is executed and before its response is sent.

There is no IAM: every request is served. Conditions are enforced (If-Match and If-None-Match on
reads, writes, copies and deletions, the ETag of a key in DeleteObjects). A batch of deletions that
is not XML 1.0, or has more than 1,000 keys, is MalformedXML.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import socketserver
import ssl
import threading
import urllib.parse
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Optional, Union
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DROP, LOSE = "drop", "lose"
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
DECLARATION = "<?xml version='1.0' encoding='UTF-8'?>\n"
STORED_HEADERS = {
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
    "x-amz-website-redirect-location",
}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")
_CHECKSUM = re.compile(r"x-amz-checksum-(crc32|crc32c|crc64nvme|sha1|sha256)\Z")


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Outcome = Union[Response, str, None]
"""The decision of a hook: a response, DROP, LOSE, or None."""


def xml(body: str, status: int = 200, **headers: str) -> Response:
    """A response of XML."""
    return Response(
        status,
        {"Content-Type": "application/xml", **headers},
        body.encode("utf-8", "surrogateescape"),
    )


def error(status: int, code: str, message: str = "", **headers: str) -> Response:
    """An S3 error response."""
    return xml(
        (
            f"{DECLARATION}<Error><Code>{code}</Code>"
            f"<Message>{escape(message or code)}</Message><RequestId>R1</RequestId></Error>"
        ),
        status,
        **headers,
    )


@dataclass
class Entry:
    """An object."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    tags: str = ""
    """In the form of a query string."""
    etag: str = ""
    modified: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def __post_init__(self) -> None:
        self.etag = self.etag or hashlib.md5(self.body).hexdigest()


@dataclass(frozen=True)
class Request:
    """A received request; header names are in lower case and include trailers."""

    service: str
    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    access_key: str


@dataclass
class Upload:
    """A multipart upload in progress."""

    headers: dict[str, str]
    tags: str
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Store:
    """The stored objects, the received requests, and the issued role sessions."""

    objects: dict[tuple[str, str], Entry] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    """ARNs of the roles assumed, in order."""
    roles_of_keys: dict[str, str] = field(default_factory=dict)
    """Access key of a session -> ARN of its role."""
    secrets: set[str] = field(default_factory=set)
    """Secret keys and tokens of all issued sessions."""
    hook: Optional[Callable[[Request], Outcome]] = None
    after: Optional[Callable[[Request], None]] = None
    url: str = ""
    lock: Any = field(default_factory=threading.RLock)
    _count: int = 0

    def put(self, bucket: str, key: str, body: Union[bytes, str], **more: Any) -> Entry:
        """Stores an object."""
        entry = self.objects[bucket, key] = Entry(
            body.encode() if isinstance(body, str) else body, **more
        )
        return entry

    def bodies(self) -> dict[str, bytes]:
        """s3:// URI -> bytes of every object."""
        with self.lock:
            return {
                f"s3://{bucket}/{key}": entry.body for (bucket, key), entry in self.objects.items()
            }

    def requests_of(self, method: str, bucket: str = "") -> list[Request]:
        """Returns the S3 requests of a method, and of a bucket if it is given."""
        with self.lock:
            return [
                each
                for each in self.requests
                if each.service == "s3"
                and each.method == method
                and (not bucket or each.bucket == bucket)
            ]

    def environment(self) -> dict[str, str]:
        """Returns the environment of a process that uses this AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
            "AWS_SECRET_ACCESS_KEY": "base-secret-of-the-job",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }

    def number(self) -> int:
        with self.lock:
            self._count += 1
            return self._count

    def respond(self, r: Request) -> Response:
        """Executes a request and returns its response."""
        with self.lock:
            if r.service == "sts":
                return self._sts(r)
            handlers = {
                "GET": self._get,
                "HEAD": self._get,
                "DELETE": self._delete,
                "PUT": self._part if "partNumber" in r.query else self._write,
                "POST": self._delete_batch
                if "delete" in r.query
                else self._create_upload
                if "uploads" in r.query
                else self._complete,
            }
            return handlers[r.method](r)

    def _get(self, r: Request) -> Response:
        if "uploadId" in r.query:
            return self._list_parts(r)
        if r.key:
            return self._read(r)
        if "list-type" in r.query or "prefix" in r.query:
            return self._list(r)
        if "location" in r.query:
            return xml(f"<LocationConstraint xmlns='{NAMESPACE}'>eu-west-1</LocationConstraint>")
        if "versioning" in r.query:
            return xml(f"<VersioningConfiguration xmlns='{NAMESPACE}'/>")
        return Response(200, {"x-amz-bucket-region": "eu-west-1"})

    def _read(self, r: Request) -> Response:
        entry = self.objects.get((r.bucket, r.key))
        if entry is None:
            return error(404, "NoSuchKey", "The specified key does not exist.")
        if "tagging" in r.query:
            return xml(
                f"<Tagging xmlns='{NAMESPACE}'><TagSet>{_tag_set(entry.tags)}</TagSet></Tagging>"
            )
        if "annotations" in r.query or "annotation" in r.query:
            return error(501, "NotImplemented")
        if not _matches(r.headers.get("if-match"), entry):
            return error(412, "PreconditionFailed")
        headers = {
            "ETag": f'"{entry.etag}"',
            "Last-Modified": _http_date(entry.modified),
            "Accept-Ranges": "bytes",
            "content-type": "binary/octet-stream",
            **entry.headers,
        }
        if entry.tags:
            headers["x-amz-tagging-count"] = str(
                len(urllib.parse.parse_qsl(entry.tags, keep_blank_values=True))
            )
        byte_range = _RANGE.match(r.headers.get("range", ""))
        if not byte_range:
            return Response(200, {**headers, "Content-Length": str(len(entry.body))}, entry.body)
        first, last = (
            int(byte_range[1]),
            min(int(byte_range[2] or len(entry.body)), len(entry.body) - 1),
        )
        if first >= len(entry.body):
            return error(416, "InvalidRange")
        part = entry.body[first : last + 1]
        # as S3, which has no checksum of any range
        plain = {name: value for name, value in headers.items() if not _CHECKSUM.match(name)}
        return Response(
            206,
            {
                **plain,
                "Content-Range": f"bytes {first}-{last}/{len(entry.body)}",
                "Content-Length": str(len(part)),
            },
            part,
        )

    def _write(self, r: Request) -> Response:
        old = self.objects.get((r.bucket, r.key))
        if "tagging" in r.query:
            assert old is not None
            old.tags = urllib.parse.urlencode(
                re.findall(r"<Key>(.*?)</Key><Value>(.*?)</Value>", r.body.decode())
            )
            return Response()
        if (r.headers.get("if-none-match") == "*" and old) or not _matches(
            r.headers.get("if-match"), old
        ):
            return error(412, "PreconditionFailed")
        if "x-amz-copy-source" in r.headers:
            return self._copy(r)
        self.put(
            r.bucket,
            r.key,
            r.body,
            headers=_stored_headers(r),
            tags=r.headers.get("x-amz-tagging", ""),
        )
        return Response(200, {"ETag": f'"{hashlib.md5(r.body).hexdigest()}"', **_checksums(r)})

    def _copy(self, r: Request) -> Response:
        source = self._copy_source(r)
        if isinstance(source, Response):
            return source
        replaced = r.headers.get("x-amz-metadata-directive") == "REPLACE"
        tags = (
            r.headers.get("x-amz-tagging", "")
            if r.headers.get("x-amz-tagging-directive") == "REPLACE"
            else source.tags
        )
        entry = self.put(
            r.bucket,
            r.key,
            source.body,
            headers=_stored_headers(r) if replaced else source.headers,
            tags=tags,
        )
        return xml(
            f"<CopyObjectResult xmlns='{NAMESPACE}'>"
            f"<LastModified>{_iso(entry.modified)}</LastModified>"
            f"<ETag>&quot;{entry.etag}&quot;</ETag></CopyObjectResult>"
        )

    def _copy_source(self, r: Request) -> Union[Entry, Response]:
        path = r.headers["x-amz-copy-source"].lstrip("/").partition("?versionId=")[0]
        bucket, _, key = urllib.parse.unquote(path, errors="surrogateescape").partition("/")
        entry = self.objects.get((bucket, key))
        if entry is None:
            return error(404, "NoSuchKey", "The specified key does not exist.")
        return (
            entry
            if _matches(r.headers.get("x-amz-copy-source-if-match"), entry)
            else error(412, "PreconditionFailed")
        )

    def _create_upload(self, r: Request) -> Response:
        name = f"upload-{self.number()}"
        self.uploads[name] = Upload(_stored_headers(r), r.headers.get("x-amz-tagging", ""))
        return xml(
            f"<InitiateMultipartUploadResult xmlns='{NAMESPACE}'>"
            f"<Bucket>{r.bucket}</Bucket><Key>{escape(r.key)}</Key>"
            f"<UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
        )

    def _part(self, r: Request) -> Response:
        upload = self.uploads.get(r.query["uploadId"])
        if upload is None:
            return error(404, "NoSuchUpload", "The specified upload does not exist.")
        body, number = r.body, int(r.query["partNumber"])
        if "x-amz-copy-source" in r.headers:
            source = self._copy_source(r)
            if isinstance(source, Response):
                return source
            first, last = map(int, r.headers["x-amz-copy-source-range"][6:].split("-"))
            body = source.body[first : last + 1]
        upload.parts[number] = body
        etag = hashlib.md5(body).hexdigest()
        if "x-amz-copy-source" in r.headers:
            return xml(
                f"<CopyPartResult xmlns='{NAMESPACE}'>"
                f"<LastModified>{_iso(datetime.now(timezone.utc))}</LastModified>"
                f"<ETag>&quot;{etag}&quot;</ETag></CopyPartResult>"
            )
        return Response(200, {"ETag": f'"{etag}"', **_checksums(r)})

    def _list_parts(self, r: Request) -> Response:
        upload = self.uploads.get(r.query["uploadId"])
        if upload is None:
            return error(404, "NoSuchUpload", "The specified upload does not exist.")
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{len(body)}</Size>"
            f"<ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag></Part>"
            for number, body in sorted(upload.parts.items())
        )
        return xml(f"<ListPartsResult xmlns='{NAMESPACE}'>{parts}</ListPartsResult>")

    def _complete(self, r: Request) -> Response:
        if r.query["uploadId"] not in self.uploads:
            return error(404, "NoSuchUpload", "The specified upload does not exist.")
        if (
            r.headers.get("if-none-match") == "*" and (r.bucket, r.key) in self.objects
        ) or not _matches(r.headers.get("if-match"), self.objects.get((r.bucket, r.key))):
            return error(412, "PreconditionFailed")
        upload = self.uploads.pop(r.query["uploadId"])
        parts = [upload.parts[number] for number in sorted(upload.parts)]
        digests = b"".join(hashlib.md5(part).digest() for part in parts)
        etag = f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"
        self.put(
            r.bucket, r.key, b"".join(parts), headers=upload.headers, etag=etag, tags=upload.tags
        )
        return xml(
            f"<CompleteMultipartUploadResult xmlns='{NAMESPACE}'>"
            f"<Bucket>{r.bucket}</Bucket><Key>{escape(r.key)}</Key>"
            f"<ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>"
        )

    def _delete(self, r: Request) -> Response:
        if "uploadId" in r.query:
            self.uploads.pop(r.query["uploadId"], None)
            return Response(204)
        if not _matches(r.headers.get("if-match"), self.objects.get((r.bucket, r.key))):
            return error(412, "PreconditionFailed")
        self.objects.pop((r.bucket, r.key), None)
        return Response(204)

    def _delete_batch(self, r: Request) -> Response:
        batch = keys_of(r)
        if batch is None or len(batch) > 1000:
            return error(
                400,
                "MalformedXML",
                (
                    "The XML you provided was not well-formed or did not validate against our "
                    "published schema"
                ),
            )
        lines = []
        for key, etag in batch:
            if _matches(etag, self.objects.get((r.bucket, key))):
                self.objects.pop((r.bucket, key), None)
                lines.append(f"<Deleted><Key>{escape(key)}</Key></Deleted>")
            else:
                lines.append(
                    delete_error(
                        key,
                        "PreconditionFailed",
                        "At least one of the pre-conditions you specified did not hold",
                    )
                )
        return delete_result(lines)

    def _list(self, r: Request) -> Response:
        prefix, delimiter, page_size = (
            r.query.get("prefix", ""),
            r.query.get("delimiter", ""),
            int(r.query.get("max-keys") or 1000),
        )
        after = r.query.get("continuation-token") or r.query.get("start-after") or ""
        url = r.query.get("encoding-type") == "url"

        def shown(text: str) -> str:
            return (
                urllib.parse.quote(text, safe="/*-._", errors="surrogateescape")
                if url
                else escape(text)
            )

        below = (
            key
            for bucket, key in self.objects
            if bucket == r.bucket and key.startswith(prefix) and _as_bytes(key) > _as_bytes(after)
        )
        keys = sorted(below, key=_as_bytes)
        folders: list[str] = []
        if delimiter:
            folders = sorted(
                {
                    prefix + key[len(prefix) :].split(delimiter)[0] + delimiter
                    for key in keys
                    if delimiter in key[len(prefix) :]
                }
            )
            keys = [key for key in keys if delimiter not in key[len(prefix) :]]
        page, truncated = keys[:page_size], len(keys) > page_size
        contents = "".join(self._contents(r.bucket, key, shown(key)) for key in page)
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{shown(folder)}</Prefix></CommonPrefixes>"
            for folder in folders
        )
        token = (
            f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
            if truncated
            else ""
        )
        encoding = "<EncodingType>url</EncodingType>" if url else ""
        return xml(
            f"{DECLARATION}<ListBucketResult xmlns='{NAMESPACE}'><Name>{r.bucket}</Name>"
            f"<Prefix>{shown(prefix)}</Prefix>{encoding}{token}"
            f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{page_size}</MaxKeys>"
            f"<IsTruncated>{str(truncated).lower()}</IsTruncated>"
            f"{contents}{prefixes}</ListBucketResult>"
        )

    def _contents(self, bucket: str, key: str, shown: str) -> str:
        entry = self.objects[bucket, key]
        return (
            f"<Contents><Key>{shown}</Key><LastModified>{_iso(entry.modified)}</LastModified><ETag>&quot;{entry.etag}&quot;</ETag>"
            f"<Size>{len(entry.body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )

    def _sts(self, r: Request) -> Response:
        if r.query.get("Action") == "GetCallerIdentity":
            arn = self.roles_of_keys.get(
                r.access_key, "arn:aws:sts::999999999999:assumed-role/job/x"
            )
            return xml(
                f"<GetCallerIdentityResponse xmlns='{STS_NAMESPACE}'>"
                f"<GetCallerIdentityResult><Arn>{arn}</Arn><UserId>A:x</UserId>"
                "<Account>999999999999</Account></GetCallerIdentityResult>"
                "</GetCallerIdentityResponse>"
            )
        return self.assume(r.query["RoleArn"], r.query.get("RoleSessionName", "session"))

    def assume(self, arn: str, name: str, seconds: float = 3600) -> Response:
        """STS's response to AssumeRole: a new session of the role."""
        seed = hashlib.sha256(f"{arn} {self.number()}".encode()).digest()
        access, secret = (
            "ASIA" + base64.b32encode(seed).decode()[:16],
            base64.b64encode(seed[:30]).decode(),
        )
        token = "IQoJ" + base64.b64encode(seed * 4).decode()
        self.assumed.append(arn)
        self.roles_of_keys[access] = arn
        self.secrets |= {secret, token}
        session = arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/" + name
        expires = _iso(datetime.now(timezone.utc) + timedelta(seconds=seconds))
        return xml(
            f"<AssumeRoleResponse xmlns='{STS_NAMESPACE}'><AssumeRoleResult><Credentials>"
            f"<AccessKeyId>{access}</AccessKeyId>"
            f"<SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration>"
            "</Credentials>"
            f"<AssumedRoleUser><Arn>{session}</Arn>"
            f"<AssumedRoleId>AROA:{name}</AssumedRoleId></AssumedRoleUser>"
            "</AssumeRoleResult></AssumeRoleResponse>"
        )


def delete_result(lines: Iterable[str]) -> Response:
    """Returns the response to DeleteObjects."""
    return xml(f"{DECLARATION}<DeleteResult xmlns='{NAMESPACE}'>{''.join(lines)}</DeleteResult>")


def delete_error(key: str, code: str, message: str = "") -> str:
    """Returns a key's error inside a response to DeleteObjects."""
    return (
        f"<Error><Key>{escape(key)}</Key><Code>{code}</Code>"
        f"<Message>{escape(message or code)}</Message></Error>"
    )


def keys_of(r: Request) -> Optional[list[tuple[str, Optional[str]]]]:
    """Returns (key, ETag or None) of each object in a batch; None if the body is not XML."""
    try:
        tree = ET.fromstring(r.body)
    except ET.ParseError:
        return None
    found = []
    for item in tree.iter():
        if item.tag.rpartition("}")[2] == "Object":
            fields = {child.tag.rpartition("}")[2]: child.text or "" for child in item}
            found.append((fields["Key"], fields.get("ETag")))
    return found


def _tag_set(tags: str) -> str:
    pairs = urllib.parse.parse_qsl(tags, keep_blank_values=True)
    return "".join(
        f"<Tag><Key>{escape(key)}</Key><Value>{escape(value)}</Value></Tag>" for key, value in pairs
    )


def _as_bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _matches(etag: Optional[str], entry: Optional[Entry]) -> bool:
    return not etag or (entry is not None and etag.strip() in ("*", entry.etag, f'"{entry.etag}"'))


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _echo_encryption(request: Request, response: Response) -> dict[str, str]:
    """Returns the header that says that a customer key was used, as S3 does; it is not kept."""
    name = "x-amz-server-side-encryption-customer-algorithm"
    is_used = name in request.headers and response.status < 300
    return {name: request.headers[name]} if is_used else {}


def _http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


def _stored_headers(r: Request) -> dict[str, str]:
    headers = {
        name: value
        for name, value in r.headers.items()
        if name in STORED_HEADERS or name.startswith("x-amz-meta-")
    }
    codings = [
        each.strip()
        for each in headers.pop("content-encoding", "").split(",")
        if each.strip() not in ("", "aws-chunked")
    ]
    return {**headers, **({"content-encoding": ",".join(codings)} if codings else {})}


def _checksums(r: Request) -> dict[str, str]:
    return {name: value for name, value in r.headers.items() if _CHECKSUM.match(name)}


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256
    store: Store

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is expected."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *arguments: Any) -> None:
        pass

    def _serve(self) -> None:
        try:
            self._serve_request(self._receive())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _serve_request(self, request: Request) -> None:
        store = self.server.store
        outcome: Outcome = store.hook(request) if store.hook else None
        if outcome == DROP:
            self.close_connection = True
            return
        if not isinstance(outcome, Response):
            loses_response, outcome = outcome == LOSE, store.respond(request)
            if store.after:
                store.after(request)
            if loses_response:
                self.close_connection = True
                return
            outcome.headers.update(_echo_encryption(request, outcome))
        self._send(outcome)

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        headers = {
            "x-amz-request-id": "R1",
            "Date": _http_date(datetime.now(timezone.utc)),
            **response.headers,
        }
        if response.status not in (204, 304):
            headers.setdefault("Content-Length", str(len(response.body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def _receive(self) -> Request:
        body, trailers = self._body()
        signed = re.search(
            r"Credential=([^/]+)/\d+/[^/]+/([\w-]+)/", self.headers.get("Authorization") or ""
        )
        access_key, service = signed.groups() if signed else ("", "s3")
        headers = {**{name.lower(): value for name, value in self.headers.items()}, **trailers}
        path, _, query = self.path.partition("?")
        parameters = dict(
            urllib.parse.parse_qsl(
                body.decode() if service == "sts" else query, keep_blank_values=True
            )
        )
        bucket, _, key = path[1:].partition("/")
        request = Request(
            service,
            self.command,
            urllib.parse.unquote(bucket),
            urllib.parse.unquote(key, errors="surrogateescape"),
            parameters,
            headers,
            body,
            access_key,
        )
        with self.server.store.lock:
            self.server.store.requests.append(request)
        return request

    def _body(self) -> tuple[bytes, dict[str, str]]:
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(pieces)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return (
            _decode_aws_chunked(body)
            if self.headers.get("x-amz-content-sha256", "").startswith("STREAMING")
            else (body, {})
        )

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - http.server's names


def _decode_aws_chunked(body: bytes) -> tuple[bytes, dict[str, str]]:
    """The payload and the trailers of an aws-chunked body."""
    pieces, at, trailers = [], 0, {}
    while True:
        end = body.index(b"\r\n", at)
        size, at = int(body[at:end].split(b";")[0], 16), end + 2
        if not size:
            break
        pieces.append(body[at : at + size])
        at += size + 2
    for line in body[at:].split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            trailers[name.decode().strip().lower()] = value.decode().strip()
    return b"".join(pieces), trailers


@contextmanager
def start_memory_aws(tls: Optional[ssl.SSLContext] = None) -> Iterator[Store]:
    """Serves a store while the block runs, over TLS with a context."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls is not None else "http"
    store = server.store = Store(url=f"{scheme}://127.0.0.1:{server.server_port}")
    threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
