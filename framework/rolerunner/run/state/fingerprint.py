"""Digests of the inputs of a step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from rolerunner.redaction.secrets import MASK, Secret
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.object_templates import ObjectTemplate

_DIGEST_LENGTH = 32


def fingerprint(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Returns a digest of each input. A list of objects counts by its content, not its path."""
    return {name: _digest_value(value) for name, value in inputs.items()}


def _digest_value(value: Any) -> str:
    text = json.dumps(_canonical_value(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


def _canonical_value(value: Any) -> Any:
    if isinstance(value, ObjectList):
        return {"prefix": str(value.prefix), "objects": _digest_objects(value)}
    if isinstance(value, ObjectTemplate):
        return [str(value), _canonical_value(value.inputs)]
    if isinstance(value, Mapping):
        return {str(key): _canonical_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical_value(each) for each in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Secret):
        return MASK  # the digest of a short secret can be guessed
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _digest_objects(objects: ObjectList) -> str:
    """Returns a digest of what is listed: a restored manifest may write its lines differently."""
    digest = hashlib.sha256()
    for info in objects:
        line = f"{info.key}\0{info.size}\0{info.etag}\0{info.version}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
