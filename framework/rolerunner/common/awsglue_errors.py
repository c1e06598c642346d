"""Explains why ``awsglue`` does not work outside Glue."""

from __future__ import annotations

import traceback
from pathlib import PurePath

_INSTALL = "install rolerunner[glue-local] to run Glue code on your own machine"


def explain_awsglue_error(error: BaseException) -> str:
    """Returns what is missing and what to install; empty for an error that is not awsglue's."""
    if isinstance(error, ModuleNotFoundError) and _is_awsglue(error.name):
        return f"awsglue is part of Glue; {_INSTALL}"
    if isinstance(error, ImportError) and _is_awsglue(error.name):
        return f"this awsglue is incomplete; {_INSTALL}"
    if isinstance(error, TypeError) and "'JavaPackage' object is not callable" in str(error):
        frames = traceback.extract_tb(error.__traceback__)
        if any("awsglue" in PurePath(frame.filename).parts for frame in frames):
            return (
                "this awsglue is AWS's own package, whose Java classes exist in Glue alone; "
                f"uninstall it and {_INSTALL}"
            )
    return ""


def _is_awsglue(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "awsglue"
