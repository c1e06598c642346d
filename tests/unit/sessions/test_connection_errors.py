"""Messages of failed connections."""

from __future__ import annotations

from botocore.exceptions import EndpointConnectionError, ProxyConnectionError

from rolerunner.sessions.connection_errors import CONNECTION_HINTS, describe_connection_error


def test_the_answer_of_a_proxy_is_part_of_the_message() -> None:
    cause = OSError("Tunnel connection failed: 407 Proxy Authentication Required")
    error = ProxyConnectionError(
        proxy_url="http://proxy:3128",
        error=f"('Cannot connect to proxy.', {cause!r})",
    )
    assert describe_connection_error(error) == (
        'Failed to connect to proxy URL: "http://proxy:3128":'
        " Tunnel connection failed: 407 Proxy Authentication Required"
    )
    assert "NO_PROXY" in CONNECTION_HINTS["ProxyConnectionError"]


def test_other_messages_are_botocores() -> None:
    plain = EndpointConnectionError(endpoint_url="http://x", error=OSError("refused"))
    assert describe_connection_error(plain) == str(plain)
