"""Host keys that a step trusts: public keys, fingerprints, and files of known hosts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEY_FAMILIES = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Types of host keys, and the signature algorithms of each. ssh-rsa itself signs with SHA-1."""
_FINGERPRINT = re.compile(r"SHA256:([A-Za-z0-9+/]{43})=?\Z")
_DEFAULT_PORT = 22


@dataclass(frozen=True)
class TrustedKey:
    """A host key that is trusted; ``key_type`` is empty if only its fingerprint is known."""

    fingerprint: str
    key_type: str = ""


def compute_fingerprint(blob: bytes) -> str:
    """Returns the fingerprint of a public key as ``ssh-keygen -l`` prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def parse_host_key(text: str) -> TrustedKey:
    """Parses a public key, a line of known hosts, or a SHA256 fingerprint. Raises ValueError."""
    found = _FINGERPRINT.match(text.strip())
    if found:
        return TrustedKey(f"SHA256:{found.group(1)}")
    words = text.split()
    for at, word in enumerate(words[:-1]):
        if word in KEY_FAMILIES:
            return _parse_public_key(word, words[at + 1])
    raise ValueError(
        "must be a public key such as 'ssh-ed25519 AAAA...' or a fingerprint such as"
        " 'SHA256:...' (of 43 characters); 'ssh-keyscan HOST' prints the keys of a server"
    )


def _parse_public_key(key_type: str, text: str) -> TrustedKey:
    try:
        blob = base64.b64decode(text, validate=True)
        (length,) = struct.unpack_from(">I", blob)
        inner = blob[4 : 4 + length].decode("ascii")
    except (ValueError, struct.error, binascii.Error):
        inner = ""
    if inner != key_type or len(blob) <= length + 4:
        raise ValueError(f"is cut short or damaged: the text after '{key_type}' is no such key")
    return TrustedKey(compute_fingerprint(blob), key_type)


def read_known_hosts(text: str, host: str, port: int) -> tuple[TrustedKey, ...]:
    """Returns the keys that a file of known hosts has for a server. Raises ValueError."""
    name = host if port == _DEFAULT_PORT else f"[{host}]:{port}"
    trusted, revoked = [], set()
    for number, line in enumerate(text.splitlines(), 1):
        marker, patterns, key = _split_line(line)
        if not patterns or not _is_for_host(patterns, name.lower()):
            continue
        try:
            parsed = parse_host_key(key)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if marker == "@revoked":
            revoked.add(parsed.fingerprint)
        elif not marker:
            trusted.append(parsed)
    return tuple(each for each in trusted if each.fingerprint not in revoked)


def _split_line(line: str) -> tuple[str, str, str]:
    """Returns the marker, the patterns of hosts and the key of a line; empty for no key."""
    words = line.split(None, 1)
    if not words or words[0].startswith("#"):
        return "", "", ""
    marker = words[0] if words[0].startswith("@") else ""
    rest = (words[1] if len(words) > 1 else "") if marker else line
    patterns, _, key = rest.strip().partition(" ")
    return marker, patterns, key


def _is_for_host(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        return _matches_hash(patterns, name)
    matches = False
    for pattern in patterns.lower().split(","):
        wanted = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatchcase(name, wanted):
            if pattern.startswith("!"):
                return False
            matches = True
    return matches


def _matches_hash(hashed: str, name: str) -> bool:
    try:
        _, _, salt, digest = hashed.split("|")
        expected = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        return hmac.compare_digest(expected, base64.b64decode(digest))
    except ValueError:
        return False


@dataclass(frozen=True)
class TrustedKeys:
    """The host keys of a server, one of which it must have."""

    keys: tuple[TrustedKey, ...]

    def has(self, fingerprint: str) -> bool:
        """Returns True if the key is trusted."""
        return any(hmac.compare_digest(each.fingerprint, fingerprint) for each in self.keys)

    def list_key_types(self) -> Optional[list[str]]:
        """Returns the types of the keys; None if that of a key is not known."""
        types = list(dict.fromkeys(each.key_type for each in self.keys))
        return None if "" in types else types

    def __str__(self) -> str:
        return " or ".join(dict.fromkeys(_describe(self.keys)))


def _describe(keys: Sequence[TrustedKey]) -> Iterator[str]:
    for each in keys:
        yield f"{each.fingerprint} ({each.key_type})" if each.key_type else each.fingerprint
