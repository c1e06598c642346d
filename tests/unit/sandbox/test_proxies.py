"""The variables with which requests to the sandbox take no proxy."""

from __future__ import annotations

from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves it out
    proxy_bypass_environment,
)

import pytest

from rolerunner.sandbox.proxies import bypass_proxies, list_bypasses

PROXY = {"HTTPS_PROXY": "http://proxy.example.com:3128"}


@pytest.mark.parametrize(
    ("environment", "hosts"),
    [
        ({}, ""),
        ({"HTTP_PROXY": "", "NO_PROXY": "a"}, ""),
        (PROXY, "127.0.0.1"),
        ({"all_proxy": "socks5://proxy"}, "127.0.0.1"),
        ({**PROXY, "NO_PROXY": "a.example.com"}, "a.example.com,127.0.0.1"),
        ({**PROXY, "NO_PROXY": "upper", "no_proxy": "lower"}, "lower,127.0.0.1"),
        ({**PROXY, "no_proxy": "localhost, 127.0.0.1"}, "localhost, 127.0.0.1"),
        ({**PROXY, "NO_PROXY": "*"}, "*"),
    ],
)
def test_loopback_is_added_where_a_proxy_is_set(environment: dict[str, str], hosts: str) -> None:
    found = list_bypasses(environment)
    assert found == ({"NO_PROXY": hosts, "no_proxy": hosts} if hosts else {})
    assert not hosts or proxy_bypass_environment("127.0.0.1:4566", {"no": hosts})


def test_this_process_takes_no_proxy_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "a.example.com")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    bypass_proxies()
    bypass_proxies()
    assert list_bypasses({**PROXY}) == {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    assert proxy_bypass_environment("127.0.0.1")
    assert proxy_bypass_environment("a.example.com")
    assert not proxy_bypass_environment("b.example.com")
