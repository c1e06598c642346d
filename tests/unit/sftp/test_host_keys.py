"""Host keys are parsed, compared, and found in files of known hosts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct

import pytest

from rolerunner.sftp.host_keys import (
    TrustedKey,
    TrustedKeys,
    compute_fingerprint,
    parse_host_key,
    read_known_hosts,
)


def make_line(kind: str = "ssh-ed25519", content: bytes = b"k" * 32) -> str:
    name = kind.encode()
    blob = struct.pack(">I", len(name)) + name + struct.pack(">I", len(content)) + content
    return f"{kind} {base64.b64encode(blob).decode()}"


ONE, OTHER = make_line(), make_line(content=b"o" * 32)
PRINT = parse_host_key(ONE).fingerprint


@pytest.mark.parametrize(
    "text",
    [ONE, f"{ONE} comment", f"sftp.example.com {ONE}", f"  {ONE}\n", PRINT, f"{PRINT}="],
)
def test_a_key_is_read_in_every_form(text: str) -> None:
    found = parse_host_key(text)
    assert found.fingerprint == PRINT
    assert found.key_type == ("" if text.startswith("SHA256") else "ssh-ed25519")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 !!!!",
        ONE.replace("ssh-ed25519", "ssh-rsa"),
        "SHA256:short",
        "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
        ONE[:-40],
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a public key|cut short") as caught:
        parse_host_key(text if text != ONE[:-40] else ONE[: len("ssh-ed25519 ") + 20])
    assert str(caught.value)


def test_a_fingerprint_is_that_of_ssh_keygen() -> None:
    blob = base64.b64decode(
        "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    )  # github.com's, whose fingerprint GitHub publishes
    assert compute_fingerprint(blob) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


def _hash_name(name: str) -> str:
    salt = b"s" * 20
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("line", "port", "found"),
    [
        (f"sftp.example.com {ONE}", 22, True),
        (f"SFTP.example.com,10.0.0.1 {ONE} comment", 22, True),
        (f"*.example.com {ONE}", 22, True),
        (f"*.example.com,!sftp.example.com {ONE}", 22, False),
        (f"other.example.com {ONE}", 22, False),
        (f"sftp.example.com {ONE}", 2222, False),
        (f"[sftp.example.com]:2222 {ONE}", 2222, True),
        (f"[*.example.com]:2222 {ONE}", 2222, True),
        (f"{_hash_name('sftp.example.com')} {ONE}", 22, True),
        (f"{_hash_name('[sftp.example.com]:2222')} {ONE}", 2222, True),
        (f"{_hash_name('other')} {ONE}", 22, False),
        (f"|1|broken {ONE}", 22, False),
        (f"@cert-authority *.example.com {ONE}", 22, False),
        (f"sftp.example.com {ONE}\n@revoked * {ONE}", 22, False),
        (f"# sftp.example.com {ONE}\n\n", 22, False),
    ],
)
def test_known_hosts_are_matched_as_openssh_does(line: str, port: int, found: bool) -> None:
    keys = read_known_hosts(line, "sftp.example.com", port)
    assert [each.fingerprint for each in keys] == ([PRINT] if found else [])


def test_a_damaged_line_is_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_known_hosts(f"other {ONE}\nsftp.example.com ssh-ed25519 AAAA", "sftp.example.com", 22)


def test_several_keys_are_trusted() -> None:
    trusted = TrustedKeys((parse_host_key(ONE), TrustedKey("SHA256:x")))
    assert trusted.has(PRINT)
    assert not trusted.has(parse_host_key(OTHER).fingerprint)
    assert trusted.list_key_types() is None
    assert TrustedKeys((parse_host_key(ONE),)).list_key_types() == ["ssh-ed25519"]
    assert str(trusted) == f"{PRINT} (ssh-ed25519) or SHA256:x"
