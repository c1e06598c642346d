"""The codecs of compressed objects: gzip, zstd, bz2 and xz.

zstd comes from ``backports.zstd`` (the extra ``zstd``), which is Python 3.14's
``compression.zstd``. gzip comes with Python; isal and zlib-ng (the extra ``fast``) are faster.
"""

from __future__ import annotations

import contextlib
import importlib
import zlib
from functools import cache
from typing import Any, Optional

from rolerunner.errors import StepError

SUFFIXES = {"gzip": ".gz", "zstd": ".zst", "bz2": ".bz2", "xz": ".xz"}
"""The codecs, and the suffix of each."""
DEFAULT_LEVELS = {"gzip": 6, "zstd": 3}
ZSTD_HINT = "install it with: pip install 'rolerunner[zstd]'"
_ISAL_LEVELS = (1, 2)
"""The levels of isal whose output is about as small as that of zlib. zlib-ng is so from 3 on."""


@cache
def find_deflater(level: int) -> Any:
    """Returns the fastest module of zlib's interface that compresses as well at a level."""
    if level == 0:
        return zlib
    return _import_or_zlib("isal.isal_zlib" if level in _ISAL_LEVELS else "zlib_ng.zlib_ng")


@cache
def find_inflater() -> Any:
    """Returns the fastest module of zlib's interface that decompresses with the same errors."""
    return _import_or_zlib("zlib_ng.zlib_ng")


def _import_or_zlib(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return zlib


def check_installed(codec: Optional[str]) -> None:
    """Raises StepError if a codec's library is not installed."""
    if codec == "zstd":
        import_zstd()


def import_zstd() -> Any:
    """Returns the module of zstd. Raises StepError if it is not installed."""
    for name in ("compression.zstd", "backports.zstd"):  # of Python 3.14, and of the extra zstd
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise StepError(
        "zstd needs the package backports.zstd, which is not installed",
        hint=f"{ZSTD_HINT}; in AWS Glue add backports.zstd to 'requirements' of 'glue'",
        type="MissingPackage",
    )
