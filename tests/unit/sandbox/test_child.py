"""Tests who may have the sandbox run code: nobody but the user who started it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rolerunner.sandbox.child import (
    _fill_parameters,
    _find_body,
    _find_described,
    _find_operation,
    find_socket_owner,
    match_line_breaks,
    refuse_other_users,
)

CLIENT, SERVER = ("127.0.0.1", 0x1234), ("127.0.0.1", 0x5678)
ROW = (
    "   1: 0100007F:1234 0100007F:5678 01 00000000:00000000 00:00000000 00000000 {uid:>5} 0 1 1 0\n"
)


def write_table(folder: Path, uid: int) -> str:
    path = folder / "tcp"
    path.write_text("  sl  local_address rem_address   st ...\n" + ROW.format(uid=uid))
    return str(path)


def request(table: str, *headers: bytes) -> int:
    """Returns the status of a request with these headers."""
    statuses = []

    async def app(_scope: object, _receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    async def receive() -> Any:
        return {}

    scope = {
        "type": "http",
        "headers": [(name, b"") for name in headers],
        "client": CLIENT,
        "server": SERVER,
    }

    async def call() -> None:
        await refuse_other_users(app, table)(scope, receive, send)

    asyncio.run(call())
    return int(statuses[0])


@pytest.mark.skipif(sys.byteorder == "big", reason="the table has addresses in host order")
def test_only_the_user_who_started_it_may_have_it_run_jobs(tmp_path: Path) -> None:
    another = write_table(tmp_path, os.getuid() + 1)
    assert request(another, b"x-amz-target") == 403
    assert request(another, b"authorization") == 200
    assert request(write_table(tmp_path, os.getuid()), b"x-amz-target") == 200
    assert request(str(tmp_path / "none"), b"x-amz-target") == 200


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux alone has this table")
def test_the_owner_of_a_connection_is_found_in_the_kernels_table() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as client:
            found = find_socket_owner("/proc/net/tcp", client.getsockname(), address)
    assert found == os.getuid()
    assert find_socket_owner("/proc/net/tcp", ("127.0.0.1", 1), ("127.0.0.1", 2)) is None


def test_a_parameter_is_filled_in_outside_of_texts_and_names() -> None:
    athena: Any = pytest.importorskip("ministack.services.athena")
    query = "SELECT '?', \"?\" FROM t WHERE a = ? -- ?\n AND b = ?"
    filled = _fill_parameters(athena, query, ["'x'", "3"])
    assert filled == "SELECT '?', \"?\" FROM t WHERE a = 'x' -- ?\n AND b = 3"
    assert _fill_parameters(athena, query, ["1"]) == query


def test_the_first_result_that_describes_a_query_counts() -> None:
    class Athena:
        _named_queries: ClassVar[dict[str, dict[str, str]]] = {
            "1": {"Name": "mine", "QueryString": "*", "Description": ""},
            "2": {
                "Name": "rolerunner:result",
                "QueryString": "SELECT a *",
                "Description": '{"n": 2}',
            },
            "3": {"Name": "rolerunner:result", "QueryString": "*", "Description": '{"n": 3}'},
        }

    assert _find_described(Athena, "select  A\n from t") == {"n": 2}
    assert _find_described(Athena, "select b") == {"n": 3}
    Athena._named_queries.clear()
    assert _find_described(Athena, "select b") is None


def test_the_body_and_the_operation_of_a_request() -> None:
    headers = {"x-amz-target": "AWSGlue.GetDatabase"}
    arguments: tuple[Any, ...] = ("POST", "/", headers, b'{"Name": "sales"}', {})
    assert _find_body(arguments) == {"Name": "sales"}
    assert _find_operation(arguments) == "GetDatabase"
    assert _find_body(("POST", b"{broken", headers)) == {}


def test_a_wildcard_of_a_policy_matches_line_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = pytest.importorskip("ministack.core.iam_evaluator")
    original = evaluator._fnmatch_compile
    monkeypatch.setattr(evaluator, "_fnmatch_compile", original)
    match_line_breaks()
    assert evaluator.fnmatch_iam_cs("arn:aws:s3:::b/in/a\nb", "arn:aws:s3:::b/in/*")
    assert not evaluator.fnmatch_iam_cs("arn:aws:s3:::b/a\nb", "arn:aws:s3:::b/in/*")
