"""Runs the emulator in the child process, records every request, and runs jobs of Glue.

The emulator's own record (CloudTrail) is not sufficient: it omits requests that IAM refused, does
not distinguish refused from granted ones, is split by region, and lacks keys and callers of S3
requests.

The interpreter may not have rolerunner, so only the standard library and the emulator are imported.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]

_CREDENTIAL = re.compile(r"Credential=([^/, ]+)/\d+/([^/, ]*)/([^/, ]*)")
_CODE = re.compile(rb'<Code>([^<]*)</Code>|"__type": *"([^"]*)"')
_ISSUED = re.compile(rb"<AccessKeyId>([^<]*)</AccessKeyId>")
_ARN = re.compile(rb"<Arn>([^<]*)</Arn>")
_SHORT = 1 << 16
"""Maximum bytes read of a body: of STS and of errors, never of an object."""
_MESSAGE_SERVICES = ("sns", "sqs", "events")
"""Services whose requests are recorded with the messages that they send."""
_LONG = 1 << 20
"""Maximum bytes read of such a request, which AWS limits to 256 KiB."""
_ERROR = 400
_TARGET = b"x-amz-target"
_UID = 7
"""Column of /proc/net/tcp with the id of the socket's user."""
_ARN_PARTS = 6
_SUFFIX_TAG = "rolerunner:suffix"
_POLL_SECONDS = 0.05
_STOP_SECONDS = 10.0


@dataclass
class _Exchange:
    """A request and its response, as far as they are recorded."""

    path: str
    method: str
    query: dict[str, str]
    headers: dict[str, str]
    sent: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)
    status: int = 0

    def to_json_line(self) -> str:
        """Returns the record as a JSON line, without credentials and bodies."""
        signed = _CREDENTIAL.search(self.headers.get("authorization", ""))
        key, region, service = signed.groups() if signed else ("", "", "")
        record = {
            "key": key,
            "region": region,
            "service": service,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "target": self.headers.get("x-amz-target", ""),
            "copies": "x-amz-copy-source" in self.headers,
            "form": self._read_form(),
            "json": self._read_json(service) if service in _MESSAGE_SERVICES else None,
            "error": self._read_error(),
            "issued": self._find_issued_key() if service == "sts" else None,
        }
        return json.dumps(record) + "\n"

    def _read_form(self) -> dict[str, str]:
        if "x-www-form-urlencoded" not in self.headers.get("content-type", ""):
            return {}
        return dict(parse_qsl(self.sent.decode("utf-8", "replace")))

    def _read_json(self, service: str) -> Any:
        """Returns the body of a request that sends messages; an SNS request has a form."""
        if service == "sns":
            return None
        try:
            return json.loads(self.sent)
        except ValueError:
            return None

    def _read_error(self) -> str:
        if self.status < _ERROR:
            return ""
        found = _CODE.search(self.answered)
        return (
            (found.group(1) or found.group(2)).decode("utf-8", "replace")
            if found
            else str(self.status)
        )

    def _find_issued_key(self) -> list[str] | None:
        """Returns the key that STS issued and its session ARN, to identify later callers."""
        key, arn = _ISSUED.search(self.answered), _ARN.search(self.answered)
        return [key.group(1).decode(), arn.group(1).decode()] if key and arn else None


def _keep_body(body: bytearray, data: bytes, limit: int = _SHORT) -> None:
    body += data[: max(0, limit - len(body))]


def record_requests(app: App, record: IO[str]) -> App:
    """Wraps the application: writes a line to ``record`` before each response completes."""

    async def record_and_forward(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_"):
            await app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        exchange = _Exchange(scope["path"], scope["method"], query, headers)
        signed = _CREDENTIAL.search(headers.get("authorization", ""))
        limit = _LONG if signed and signed.group(3) in _MESSAGE_SERVICES else _SHORT

        async def receive_and_keep() -> Message:
            message = await receive()
            _keep_body(exchange.sent, message.get("body", b""), limit)
            return message

        async def send_and_record(message: Message) -> None:
            exchange.status = message.get("status", exchange.status)
            _keep_body(exchange.answered, message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                record.write(exchange.to_json_line())
            await send(message)

        await app(scope, receive_and_keep, send_and_record)

    return record_and_forward


def refuse_other_users(app: App, sockets: str = "/proc/net/tcp") -> App:
    """Wraps the application: refuses requests of other users of this machine that may run code.

    The emulator takes an account's number for its administrator's key, and jobs run as this user.
    Only Linux tells whose connection it is; elsewhere nothing is refused.
    """

    async def check_and_forward(scope: Message, receive: Receive, send: Send) -> None:
        # Glue and all that starts its jobs take the operation from this header
        if scope["type"] == "http" and any(name == _TARGET for name, _ in scope["headers"]):
            owner = find_socket_owner(sockets, scope["client"], scope["server"])
            if owner not in (None, os.getuid()):
                start = {"type": "http.response.start", "status": 403, "headers": []}
                await send(start)
                await send({"type": "http.response.body", "body": b"another user's sandbox"})
                return
        await app(scope, receive, send)

    return check_and_forward


def find_socket_owner(sockets: str, client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Returns the id of the user at the other end of a loopback connection, or None."""
    wanted = [_format_address(*client), _format_address(*server)]
    try:
        with open(sockets, encoding="ascii") as lines:  # noqa: PTH123 - as below
            rows = [line.split() for line in lines]
    except OSError:
        return None
    return next((int(row[_UID]) for row in rows if row[1:3] == wanted), None)


def _format_address(host: str, port: int) -> str:
    """Returns an IPv4 address as /proc/net/tcp has it."""
    number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    return f"{number:08X}:{port:04X}"


def end_with_parent(folder: str) -> None:
    """Exits when the parent ends, even by kill -9, since standard input then closes."""

    def watch() -> None:
        while os.read(
            0, 1
        ):  # not sys.stdin: its lock, held by a waiting thread, makes a regular exit a fatal error
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


_KEPT_FIELDS = (
    "ExecutionProperty",
    "ExecutionClass",
    "JobRunQueuingEnabled",
    "MaintenanceWindow",
    "NotificationProperty",
)
"""Fields of Glue jobs that the emulator drops."""


def _keep_fields(glue: Any, operation: Callable[[dict[str, Any]], Any]) -> Any:
    """Returns an operation of the emulator's Glue that keeps all fields and tags of a job."""

    def call(data: dict[str, Any]) -> Any:
        answer = operation(data)
        job = glue._jobs.get(data.get("JobName") or data.get("Name"))  # noqa: SLF001
        if job is not None and answer[0] == HTTPStatus.OK:
            given = data.get("JobUpdate", data)
            for name in _KEPT_FIELDS:
                job.pop(name, None)  # an update overwrites everything
                if name in given:
                    job[name] = given[name]
            if "Tags" in data:
                glue._tags[glue._arn("job", data["Name"])] = dict(data["Tags"])  # noqa: SLF001
        return answer

    return call


@dataclass
class JobRunner:
    """Runs each job of Glue in a process of the interpreter that has rolerunner.

    The emulator itself gives a script no arguments and the wrong identity, and takes every Spark
    job for successful.
    """

    command: list[str]
    environment: dict[str, str]
    endpoint: str

    def install(self) -> None:
        """Replaces the emulator's own way to run a job, for Python Shell and Spark alike."""
        from ministack.services import glue  # noqa: PLC0415

        glue._is_spark_job = lambda _: False  # noqa: SLF001 - the emulator's version is pinned
        glue._resolve_script = lambda _: "job.py"  # noqa: SLF001 - the job fetches it, as its role
        glue._execute_subprocess = self._run_job  # noqa: SLF001
        glue._create_job = _keep_fields(glue, glue._create_job)  # noqa: SLF001
        glue._update_job = _keep_fields(glue, glue._update_job)  # noqa: SLF001

    def _run_job(
        self, run: dict[str, Any], job: dict[str, Any], _arguments: object, _script: object
    ) -> None:
        """Runs a job until it ends or is stopped; notes state and error in ``run``."""
        from ministack.core.responses import get_account_id, get_region  # noqa: PLC0415

        request = {
            "job": job,
            "run": run,
            "endpoint": self.endpoint,
            "account": get_account_id(),
            "region": get_region(),
        }
        with subprocess.Popen(  # noqa: S603
            self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            answer = self._wait(process, run, json.dumps(request))
        if run["JobRunState"] != "STOPPED":
            run["JobRunState"] = answer.get("state", "ERROR")
            run["ErrorMessage"] = answer.get("error", "the process of the run ended early")

    def _wait(
        self, process: subprocess.Popen[bytes], run: dict[str, Any], request: str
    ) -> dict[str, str]:
        if process.stdin is None or process.stdout is None:
            return {}
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
        while process.poll() is None and run["JobRunState"] != "STOPPED":
            time.sleep(_POLL_SECONDS)
        process.stdin.close()  # the process stops its script then
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        try:
            answer: dict[str, str] = json.loads(process.stdout.read())
        except ValueError:
            return {}
        return answer


def serve_secrets_across_accounts() -> None:
    """Lets an ARN name a secret or parameter of another account, as on AWS.

    A secret's policy must allow it. A tag names the last characters of a new secret's ARN, which
    are random otherwise.
    """
    from ministack.core import iam_actions  # noqa: PLC0415
    from ministack.core.responses import get_account_id  # noqa: PLC0415
    from ministack.services import secretsmanager, ssm  # noqa: PLC0415

    find_resource = iam_actions.extract_resource_arn
    find, find_policy = secretsmanager._resolve, secretsmanager.secret_policy_for_arn  # noqa: SLF001
    store, find_parameter = secretsmanager._store_new_secret, ssm._lookup_parameter  # noqa: SLF001

    def find_secret(secret_id: str, **options: Any) -> Any:
        region, account = _parse_place(secret_id)
        if account in ("", get_account_id()):
            return find(secret_id, **options)
        found = secretsmanager._secrets.items_scoped(account, region)  # noqa: SLF001
        return next((pair for pair in found if pair[1]["ARN"] == secret_id), (None, None))

    def find_secret_policy(arn: str) -> Any:
        region, account = _parse_place(arn)
        if account in ("", get_account_id()):
            return find_policy(arn)
        policies = secretsmanager._resource_policies  # noqa: SLF001
        return policies.get_scoped(account, region, arn) or "", account

    def find_any_parameter(name: str, **options: Any) -> Any:
        region, account = _parse_place(name)
        if account in ("", get_account_id()):
            return find_parameter(name, **options)
        found = ssm._parameters.items_scoped(account, region)  # noqa: SLF001
        return next((pair for pair in found if pair[1]["ARN"] == name), (None, None))

    def name_resource(service: str, *arguments: Any) -> str:
        arn = str(find_resource(service, *arguments))
        return (
            re.sub(r"^(?:arn:aws:ssm:.*:parameter/)(?=arn:)", "", arn) if service == "ssm" else arn
        )

    def store_secret(name: str, *, tags: Any = None, **options: Any) -> Any:
        suffixes = [tag["Value"] for tag in tags or () if tag["Key"] == _SUFFIX_TAG]
        arn, version = store(name, tags=None if suffixes else tags, **options)
        if suffixes:
            arn = arn[: -len(suffixes[0])] + suffixes[0]
            secretsmanager._secrets[name]["ARN"] = arn  # noqa: SLF001
        return arn, version

    secretsmanager._resolve = find_secret  # noqa: SLF001
    secretsmanager.secret_policy_for_arn = find_secret_policy
    secretsmanager._store_new_secret = store_secret  # noqa: SLF001
    iam_actions.extract_resource_arn = name_resource
    ssm._lookup_parameter = find_any_parameter  # noqa: SLF001


def _parse_place(text: object) -> tuple[str, str]:
    """Returns the region and account of an ARN; empty texts for a name."""
    parts = str(text).split(":")
    return (parts[3], parts[4]) if parts[0] == "arn" and len(parts) >= _ARN_PARTS else ("", "")


def main(folder: str, record: str, job_runner: str = "") -> None:
    """Runs the emulator until the parent ends; ``job_runner`` is a JobRunner as JSON."""
    end_with_parent(folder)
    import ministack.app  # noqa: PLC0415 - takes time, and the parent may end meanwhile

    serve_secrets_across_accounts()
    if job_runner:
        JobRunner(**json.loads(job_runner)).install()
        ministack.app.app = refuse_other_users(ministack.app.app)
    sys.argv = ["ministack"]
    # line by line: a client that has its answer finds the request on record
    with open(record, "a", encoding="utf-8", buffering=1) as lines:  # noqa: PTH123 - pathlib cannot ask for line buffering on 3.9
        ministack.app.app = record_requests(ministack.app.app, lines)
        ministack.app.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
