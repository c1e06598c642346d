"""Which of Glue's runtimes this is, if any. ``import awsglue`` proves nothing: laptops have it too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIMES = ("glueetl", "pythonshell", "local")


def detect(script: str, said: str = "", environment: Mapping[str, str] = os.environ) -> str:
    """Glueetl (Spark), pythonshell or local; ``said`` is what the caller knows better."""
    if said in RUNTIMES:
        return said
    if environment.get("GLUE_COMMAND_CRITERIA") == "glueetl":
        return "glueetl"
    if environment.get("GLUE_INSTALLATION") or "glue-python-scripts-" in script:
        return "pythonshell"
    return "local"
