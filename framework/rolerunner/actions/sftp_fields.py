"""Fields of the actions that use an SFTP server: address, credentials, trusted key, limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, model_validator

from rolerunner.actions.base import Field, StepContext
from rolerunner.actions.existing_fields import ExistingFields
from rolerunner.common.file_paths import expand_path
from rolerunner.common.files import read_file
from rolerunner.errors import StepError
from rolerunner.redaction.secrets import register_secret
from rolerunner.sftp.host_keys import TrustedKeys, parse_host_key, read_known_hosts
from rolerunner.sftp.server import SftpServer, is_loopback_host
from rolerunner.sftp.sessions import SftpSessions
from rolerunner.sftp.ssh import import_paramiko
from rolerunner.spec.field_types import (
    DYNAMIC,
    PARTIAL_VALUES,
    LocalPath,
    Name,
    Seconds,
    StrictModel,
    Text,
    json_form,
)

_MAX_PORT = 65535
_MAX_KNOWN_HOSTS = 16 << 20
"""Bytes of a file of known hosts that are read."""
_HOST = re.compile(r"[\w*](?:[\w.*-]*[\w*])?\Z|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%]*\]?\Z")
"""A name, with ``*`` for what is not known yet, or an IPv6 address."""


def _check_host(value: Any) -> Any:
    if isinstance(value, str) and not _HOST.match(value):
        raise ValueError(
            "must be the name or address of a host, such as sftp.example.com, without a scheme,"
            " a user or a port"
        )
    return value.strip("[]") if isinstance(value, str) else value


def _check_remote_path(value: Any) -> Any:
    if isinstance(value, str):
        if re.match(r"[a-z][a-z0-9+.-]*://", value):
            raise ValueError(f"must be a path on the server, not '{value}'")
        if not value or "\0" in value:
            raise ValueError("must be a path on the server, such as /outgoing/")
        if value == "~" or value.startswith("~/"):
            raise ValueError("must not begin with '~': a path without '/' in front begins there")
    return value


def _check_host_keys(value: Any, info: ValidationInfo) -> Any:
    keys = value if isinstance(value, list) else [value]
    is_known = not (info.context and info.context.get(PARTIAL_VALUES))
    for each in keys:
        if isinstance(each, str) and is_known:
            parse_host_key(each)
    if value == []:
        raise ValueError("must name at least one key")
    return value


def _as_secret(value: str, info: ValidationInfo) -> str:
    is_partial = bool(info.context and info.context.get(PARTIAL_VALUES))
    return value if is_partial else register_secret(value)


Host = Annotated[str, BeforeValidator(_check_host), json_form(type="string"), DYNAMIC]
RemotePath = Annotated[str, BeforeValidator(_check_remote_path), json_form(type="string"), DYNAMIC]
"""A path on an SFTP server; without ``/`` in front it begins at the user's own folder."""
SecretText = Annotated[
    str,
    AfterValidator(_as_secret),
    json_form(type="string", pattern=r"\$\{\{"),
    DYNAMIC,
]
"""Text that only a secret param may be."""
HostKeys = Annotated[
    Union[str, list[Text]],
    BeforeValidator(_check_host_keys),
    json_form(anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}]),
    DYNAMIC,
]
Symlinks = Annotated[Literal["skip", "follow", "error"], DYNAMIC]


class SftpFields(StrictModel):
    """Fields of the server."""

    secret_fields: ClassVar[tuple[str, ...]] = ("password", "private_key", "passphrase")

    host: Host = Field(
        description="The name or address of the SFTP server.", examples=["sftp.example.com"]
    )
    port: Annotated[int, Field(ge=1, le=_MAX_PORT), DYNAMIC] = Field(
        22, description="The server's port.", examples=[2222]
    )
    user: Name = Field(description="The user's name on the server.", examples=["acme"])
    password: Optional[SecretText] = Field(
        None,
        description="The user's password: a secret param.",
        examples=["${{ params.sftp_password }}"],
    )
    private_key: Optional[SecretText] = Field(
        None,
        description=(
            "The user's private key: a secret param with the text of an OpenSSH or PEM file."
            " With 'password' as well, both are presented if the server requires both."
        ),
        examples=["${{ params.sftp_key }}"],
    )
    passphrase: Optional[SecretText] = Field(
        None,
        description="The passphrase of 'private_key': a secret param.",
        examples=["${{ params.sftp_passphrase }}"],
    )
    host_key: Optional[HostKeys] = Field(
        None,
        description=(
            "The server's public key, as 'ssh-keyscan' prints it, or its SHA256 fingerprint; a"
            " list while a server changes its key. Another key is refused before anything is sent."
        ),
        examples=["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"],
    )
    known_hosts: Optional[LocalPath] = Field(
        None,
        description="A file of known hosts with the server's key; instead of 'host_key'.",
        examples=["known_hosts"],
    )
    connect_timeout: Annotated[Seconds, Field(gt=0)] = Field(
        15.0,
        description="How long connecting and authenticating may take, each.",
        examples=["30s"],
    )
    response_timeout: Annotated[Seconds, Field(gt=0)] = Field(
        60.0,
        description="How long the server may take to respond before the connection is lost.",
        examples=["2m"],
    )
    keepalive: Annotated[Seconds, Field(ge=0)] = Field(
        30.0,
        description="Time between messages that keep an idle connection open; 0 sends none.",
        examples=["10s"],
    )
    sessions: Annotated[int, Field(ge=1, le=16), DYNAMIC] = Field(
        4,
        description=(
            "Maximum number of files in flight, each in an SFTP session of the one connection."
            " Fewer are used if the server allows no more."
        ),
        examples=[1],
    )
    max_files: Optional[Annotated[int, Field(ge=1), DYNAMIC]] = Field(
        None,
        description="Maximum number of files; if there are more, none is transferred.",
        examples=[1000],
    )

    @classmethod
    def list_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extra that has paramiko."""
        del fields
        return ("sftp",)

    @classmethod
    def list_certain_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extra that has paramiko."""
        return cls.list_extras(fields)

    @model_validator(mode="after")
    def _server_makes_sense(self) -> Any:
        if (self.host_key is None) == (self.known_hosts is None):
            raise ValueError(
                "either 'host_key' or 'known_hosts' is required: without the server's key anyone"
                " could take its place ('ssh-keyscan HOST' prints it; compare it with what the"
                " operator tells you)"
            )
        if self.password is None and self.private_key is None:
            raise ValueError("'password' or 'private_key' is required, each a secret param")
        if self.passphrase is not None and self.private_key is None:
            raise ValueError("'passphrase' goes with 'private_key'")
        return self

    def server(self) -> SftpServer:
        """Returns the server. Raises StepError if its key cannot be found."""
        return SftpServer(
            host=self.host,
            port=self.port,
            user=self.user,
            trusted=self._trusted_keys(),
            password=self.password or "",
            private_key=self.private_key or "",
            passphrase=self.passphrase or "",
            connect_timeout=self.connect_timeout,
            response_timeout=self.response_timeout,
            keepalive=self.keepalive,
        )

    def _trusted_keys(self) -> TrustedKeys:
        if self.host_key is not None:
            texts = self.host_key if isinstance(self.host_key, list) else [self.host_key]
            return TrustedKeys(tuple(map(parse_host_key, texts)))
        path = expand_path(str(self.known_hosts))
        try:
            text = read_file(path, _MAX_KNOWN_HOSTS).decode("utf-8", "replace")
            keys = read_known_hosts(text, self.host, self.port)
        except ValueError as error:
            raise StepError(f"{path}: {error}", type="KnownHostsInvalid") from None
        if not keys:
            name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"  # noqa: PLR2004 - SSH's
            raise StepError(
                f"{path} has no key of {name}",
                hint=f"add the line that 'ssh-keyscan -p {self.port} {self.host}' prints, once you"
                " have compared it with what the server's operator tells you",
                type="HostKeyUnknown",
            )
        return TrustedKeys(keys)

    def open_sessions(self, context: StepContext) -> SftpSessions:
        """Returns sessions, not connected yet. Raises StepError where there must be none."""
        import_paramiko()
        if context.in_sandbox and not is_loopback_host(self.host):
            raise StepError(
                f"in the sandbox no connection is made to {self.host}, which is outside of it",
                hint="the sandbox has no SFTP server: run the other steps with --only, or set"
                " 'host' to a server on 127.0.0.1 by a param",
                type="OutsideSandbox",
            )
        return SftpSessions(self.server(), self.sessions, context.cancel)

    def check_file_count(self, count: int, noun: str = "files") -> None:
        """Raises StepError if there are more files than may be."""
        if self.max_files is not None and count > self.max_files:
            raise StepError(
                f"more than {self.max_files:,} {noun} are selected ('max_files'); nothing was"
                " transferred",
                hint="narrow the selection with 'include' or 'max_age', or raise 'max_files'",
                type="MaxFiles",
            )


class SftpTargetFields(ExistingFields):
    """Fields for what is at the target of a transfer from or to a server."""

    compare: Annotated[Literal["size_mtime", "size"], DYNAMIC] = Field(
        "size_mtime",
        description=(
            "How source and target are compared: size_mtime takes the time that 'keep_times'"
            " stores. SFTP has no checksums."
        ),
        examples=["size"],
    )

    @model_validator(mode="after")
    def _compares_what_there_is(self) -> Any:
        if self.if_exists != "skip_same":
            return self
        if self.compare == "size_mtime" and getattr(self, "keep_times", None) is False:
            raise ValueError(
                "'if_exists: skip_same' compares times, which 'keep_times: false' leaves out;"
                " set 'compare: size'"
            )
        if self.compare == "size" and getattr(self, "move", None) is True:
            raise ValueError(
                "'move' deletes only what is proved to be copied, and 'compare: size' proves"
                " nothing"
            )
        return self
