"""Runs the emulator in the child process, records every request, and runs jobs of Glue.

The emulator's own record (CloudTrail) is not sufficient: it omits requests that IAM refused, does
not distinguish refused from granted ones, is split by region, and lacks keys and callers of S3
requests.

The interpreter may not have rolerunner, so only the standard library and the emulator are imported.
"""

from __future__ import annotations

import asyncio
import fnmatch
import functools
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
_ACCOUNT_DIGITS = 12
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


_RESULT_NAME = "rolerunner:result"
"""The name of saved queries that hold the result of the queries that they describe."""
_OUTCOME_TAG = "rolerunner:outcome"
"""The tag of a job with the end of its runs as JSON."""


def match_line_breaks() -> None:
    """Lets a wildcard of a policy match the line breaks of a key, as on AWS."""
    from ministack.core import iam_evaluator  # noqa: PLC0415

    compile_pattern = iam_evaluator._fnmatch_compile  # noqa: SLF001

    @functools.lru_cache(maxsize=4096)
    def compile_dotall(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        compiled = compile_pattern(pattern, ignore_case)
        return re.compile(compiled.pattern, compiled.flags | re.DOTALL)

    iam_evaluator._fnmatch_compile = compile_dotall  # noqa: SLF001


def name_query_resources() -> None:
    """Lets IAM see the workgroup of a query and the table of a partition, as on AWS."""
    from ministack.core import iam_actions  # noqa: PLC0415

    find_resource = iam_actions.extract_resource_arn

    def name_resource(service: str, *arguments: Any) -> str:
        arn = str(find_resource(service, *arguments))
        if service not in ("athena", "glue"):
            return arn
        sent = _find_body(arguments)
        if service == "glue" and _parse_catalog(sent):
            arn = arn.replace(f":{arguments[-1]}:", f":{_parse_catalog(sent)}:", 1)
        if service == "glue" and "DatabaseName" in sent:
            table = sent.get("TableName", sent.get("Name"))
            return arn if table is None else f"{arn.replace(':database/', ':table/')}/{table}"
        if service == "glue" and _find_operation(arguments) == "GetDatabase":
            return arn.replace(":table/", ":database/")
        if service == "athena" and ("QueryExecutionId" in sent or "QueryString" in sent):
            return _name_workgroup(sent, *arguments[-2:])
        return arn

    iam_actions.extract_resource_arn = name_resource


def _parse_catalog(sent: dict[str, Any]) -> str:
    """Returns the account whose Data Catalog a request names; empty for that of its caller."""
    catalog = str(sent.get("CatalogId", ""))
    return catalog if len(catalog) == _ACCOUNT_DIGITS and catalog.isdigit() else ""


def _name_workgroup(sent: dict[str, Any], region: str, account: str) -> str:
    from ministack.services import athena  # noqa: PLC0415

    execution = athena._executions.get(sent.get("QueryExecutionId"), {})  # noqa: SLF001
    name = sent.get("WorkGroup") or execution.get("WorkGroup", "primary")
    return f"arn:aws:athena:{region}:{account}:workgroup/{name}"


def _find_operation(arguments: tuple[Any, ...]) -> str:
    """Returns the operation in the headers of a request among the arguments."""
    names = [each.get("x-amz-target", "") for each in arguments if isinstance(each, dict)]
    return str(next(filter(None, names), "")).rpartition(".")[2]


def _find_body(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Returns the JSON body of a request among the arguments; empty for another one."""
    for each in arguments:
        if isinstance(each, (bytes, str)) and each[:1] in (b"{", "{"):
            try:
                read = json.loads(each)
            except ValueError:
                continue
            return read if isinstance(read, dict) else {}
    return {}


def complete_services(app: App) -> App:
    """Wraps the application: completes Athena and Glue before their first request.

    To import them takes time, and most sandboxes need neither.
    """
    pending = {b"AmazonAthena": complete_athena, b"AWSGlue": complete_glue}

    async def complete_and_forward(scope: Message, receive: Receive, send: Send) -> None:
        if pending and scope["type"] == "http":
            target = next((value for name, value in scope["headers"] if name == _TARGET), b"")
            complete = pending.pop(target.partition(b".")[0], None)
            if complete is not None:
                complete()
        await app(scope, receive, send)

    return complete_and_forward


def complete_athena() -> None:
    """Adds to Athena what the emulator lacks.

    These are request tokens, parameters, described results, and the place of result objects; and
    a query that cannot be run fails, where the emulator makes a result up.
    """
    from ministack.services import athena  # noqa: PLC0415

    start, execute, save = (
        athena._start_query_execution,  # noqa: SLF001
        athena._execute_query,  # noqa: SLF001
        athena._save_query_results,  # noqa: SLF001
    )
    started: dict[tuple[str, str], Any] = {}

    def start_once(sent: dict[str, Any]) -> Any:
        key = (athena.get_account_id(), sent.get("ClientRequestToken", ""))
        if key[1] and key in started:
            return started[key]
        values = list(sent.get("ExecutionParameters", ()))
        text = _fill_parameters(athena, sent.get("QueryString", ""), values)
        answer = start({**sent, "QueryString": text})
        if answer[0] == HTTPStatus.OK:
            started[key] = answer
        return answer

    async def execute_described(query_id: str, query: str, *arguments: Any) -> None:
        described = _find_described(athena, query)
        if described is None:
            await execute(query_id, query, *arguments)
        else:
            await _end_query(athena, query_id, described)

    def refuse_query(_query: str) -> Any:
        raise RuntimeError(
            "the sandbox has no engine: install duckdb beside it, or describe the result of this"
            " query under 'query_results' of the sandbox file"
        )

    async def save_at_its_place(query_id: str) -> None:
        result = athena._executions[query_id]["ResultConfiguration"]  # noqa: SLF001
        place = result["OutputLocation"]
        result["OutputLocation"] = place[: place.rfind("/") + 1]
        try:
            await save(query_id)
        finally:
            result["OutputLocation"] = place

    athena._start_query_execution = start_once  # noqa: SLF001
    athena._execute_query = execute_described  # noqa: SLF001
    athena._mock_query_results = refuse_query  # noqa: SLF001
    athena._save_query_results = save_at_its_place  # noqa: SLF001


def _fill_parameters(athena: Any, query: str, values: list[str]) -> str:
    """Returns the query with a literal for each ``?`` outside of texts and names."""
    marks = [each for each in athena._sql_tokens(query) if each[:2] == ("punct", "?")]  # noqa: SLF001
    if len(marks) != len(values):
        return query  # the engine refuses it
    for (_, _, begin, end), value in zip(reversed(marks), reversed(values)):
        query = query[:begin] + value + query[end:]
    return query


def _find_described(athena: Any, query: str) -> dict[str, Any] | None:
    """Returns the described result of a query; None if there is none."""
    text = " ".join(query.split())
    for saved in athena._named_queries.values():  # noqa: SLF001
        pattern = " ".join(saved["QueryString"].split())
        if saved["Name"] == _RESULT_NAME and fnmatch.fnmatchcase(text.lower(), pattern.lower()):
            described: dict[str, Any] = json.loads(saved["Description"])
            return described
    return None


async def _end_query(athena: Any, query_id: str, described: dict[str, Any]) -> None:
    """Runs a query for as long as described, and ends it with the described result."""
    execution = athena._executions[query_id]  # noqa: SLF001
    status, statistics = execution["Status"], execution["Statistics"]
    status["State"] = "RUNNING"
    statistics["DataScannedInBytes"] = described["scanned_bytes"]
    deadline = time.monotonic() + described["seconds"]
    while time.monotonic() < deadline and status["State"] == "RUNNING":  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
    if status["State"] != "RUNNING":
        return
    statistics["EngineExecutionTimeInMillis"] = int(described["seconds"] * 1000)
    status["CompletionDateTime"] = int(time.time())
    if described["error"]:
        status["State"], status["StateChangeReason"] = "FAILED", described["error"]
        return
    columns = described["columns"]
    execution["_results"] = {"columns": list(columns), "rows": described["rows"]}
    execution["_column_types"] = list(columns.values())
    status["State"] = "SUCCEEDED"
    await athena._save_query_results(query_id)  # noqa: SLF001


def complete_glue() -> None:
    """Adds to Glue what the emulator lacks: catalogs of other accounts, described ends of runs."""
    from ministack.services import glue  # noqa: PLC0415

    _serve_catalogs_across_accounts(glue)
    _end_runs_as_described(glue)


def _serve_catalogs_across_accounts(glue: Any) -> None:
    """Lets CatalogId name the catalog of another account; its own policy is not asked."""
    from ministack.core.responses import get_account_id, set_request_account_id  # noqa: PLC0415

    handle = glue._handle_request_sync  # noqa: SLF001

    def handle_in_account(*arguments: Any) -> Any:
        caller = get_account_id()
        set_request_account_id(_parse_catalog(_find_body(arguments)) or caller)
        try:
            return handle(*arguments)
        finally:
            set_request_account_id(caller)

    glue._handle_request_sync = handle_in_account  # noqa: SLF001


def _end_runs_as_described(glue: Any) -> None:
    """Lets the runs of a job with a described end take its time, and end with its state."""
    find_spark, execute = glue._is_spark_job, glue._execute_subprocess  # noqa: SLF001
    resolve = glue._resolve_script  # noqa: SLF001

    def end_run(run: dict[str, Any], job: dict[str, Any], *arguments: Any) -> None:
        outcome = job.get("Tags", {}).get(_OUTCOME_TAG)
        if outcome is None:
            execute(run, job, *arguments)
            return
        described = json.loads(outcome)
        deadline = time.monotonic() + described["seconds"]
        while time.monotonic() < deadline and run["JobRunState"] == "RUNNING":
            time.sleep(_POLL_SECONDS)
        if run["JobRunState"] == "RUNNING":
            run["JobRunState"], run["ErrorMessage"] = described["state"], described["error"]

    def is_spark_job(job: dict[str, Any]) -> bool:
        return _OUTCOME_TAG not in job.get("Tags", {}) and bool(find_spark(job))

    glue._is_spark_job = is_spark_job  # noqa: SLF001
    glue._execute_subprocess = end_run  # noqa: SLF001
    glue._resolve_script = lambda place: resolve(place) or "job.py"  # noqa: SLF001


def _parse_place(text: object) -> tuple[str, str]:
    """Returns the region and account of an ARN; empty texts for a name."""
    parts = str(text).split(":")
    return (parts[3], parts[4]) if parts[0] == "arn" and len(parts) >= _ARN_PARTS else ("", "")


def main(folder: str, record: str, job_runner: str = "") -> None:
    """Runs the emulator until the parent ends; ``job_runner`` is a JobRunner as JSON."""
    end_with_parent(folder)
    import ministack.app  # noqa: PLC0415 - takes time, and the parent may end meanwhile

    serve_secrets_across_accounts()
    match_line_breaks()
    name_query_resources()
    if job_runner:
        JobRunner(**json.loads(job_runner)).install()
        ministack.app.app = refuse_other_users(ministack.app.app)
    ministack.app.app = complete_services(ministack.app.app)
    sys.argv = ["ministack"]
    # line by line: a client that has its answer finds the request on record
    with open(record, "a", encoding="utf-8", buffering=1) as lines:  # noqa: PTH123 - pathlib cannot ask for line buffering on 3.9
        ministack.app.app = record_requests(ministack.app.app, lines)
        ministack.app.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
