"""Reads and writes lists of checksums, such as SHA256SUMS, in the format of coreutils."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

DIGEST_LENGTHS = {32: "MD5", 40: "SHA1", 64: "SHA256"}
"""Hexadecimal digits of a digest -> its algorithm."""
_MAX_LINE = 16 << 10
"""Bytes of a line; a key of 1,024 bytes, escaped and with its digest, has fewer."""
_LINE = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9A-Fa-f]{32,64}) [ *](?P<name>.+)\Z", re.DOTALL)
_TAGGED = re.compile(
    r"(?P<escaped>\\?)(?:MD5|SHA1|SHA256) \((?P<name>.+)\) = (?P<digest>[0-9A-Fa-f]{32,64})\Z",
    re.DOTALL,
)
"""A line that ``sha256sum --tag`` and the BSD tools write."""
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


@dataclass(frozen=True)
class ListedChecksum:
    """A line of a list: a name, and the digest of its content in hexadecimal, lower case."""

    name: str
    algorithm: str
    digest: str
    line: int


def read_checksums(path: Path) -> Iterator[ListedChecksum]:
    """Yields the lines of a list. Raises StepError for a line that is no checksum, by its number.

    Empty lines and comments are left out.
    """
    with translate_os_errors(path), path.open("rb") as lines:
        for number in _count_up():
            raw = lines.readline(_MAX_LINE + 1)
            if not raw:
                return
            text = _decode(raw, path, number)
            if text and not text.startswith("#"):
                yield _parse_line(text, path, number)


def format_checksum(name: str, digest: str) -> str:
    """Returns the line of a name; one with a backslash or a line break is escaped."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def _count_up() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def _decode(raw: bytes, path: Path, number: int) -> str:
    if len(raw) > _MAX_LINE:
        raise _line_error(path, number, f"has more than {_MAX_LINE:,} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _line_error(path, number, "is not UTF-8, as keys are") from None
    return text.removesuffix("\n").removesuffix("\r")


def _parse_line(text: str, path: Path, number: int) -> ListedChecksum:
    found = _LINE.match(text) or _TAGGED.match(text)
    algorithm = DIGEST_LENGTHS.get(len(found["digest"])) if found is not None else None
    if found is None or algorithm is None:
        raise _line_error(path, number, "is no checksum: digest, two spaces and a name")
    name = found["name"]
    if found["escaped"]:
        name = re.sub(r"\\.?", lambda each: _unescape(each.group(), path, number), name)
    return ListedChecksum(name.removeprefix("./"), algorithm, found["digest"].lower(), number)


def _unescape(escape: str, path: Path, number: int) -> str:
    if escape not in _ESCAPES:
        raise _line_error(path, number, f"has the unknown escape '{escape}'")
    return _ESCAPES[escape]


def _line_error(path: Path, number: int, reason: str) -> StepError:
    return StepError(f"{path}: line {number:,} {reason}", type="NotChecksums")
