"""Keeps requests to the sandbox away from the proxies of the user's environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
"""Variables of proxies, in lower case, which have no business on loopback."""
_LOOPBACK = "127.0.0.1"


def bypass_proxies() -> None:
    """Lets this process and those that it starts reach 127.0.0.1 without a proxy."""
    os.environ.update(list_bypasses(os.environ))


def list_bypasses(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables with which programs reach 127.0.0.1 without a proxy.

    They are empty if the environment names no proxy.
    """
    if not any(name.lower() in PROXY_VARIABLES and value for name, value in environment.items()):
        return {}
    # where both are set, the one in lower case counts
    hosts = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if hosts.strip() != "*" and _LOOPBACK not in hosts.replace(" ", "").split(","):
        hosts = f"{hosts},{_LOOPBACK}" if hosts else _LOOPBACK
    return {"NO_PROXY": hosts, "no_proxy": hosts}
