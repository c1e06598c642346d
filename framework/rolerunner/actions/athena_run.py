"""Runs a query of athena.query: starts it, waits for its end, and reads its result."""

from __future__ import annotations

import json
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Union

from rolerunner.actions.query_results import QueryRows, fetch_rows, iter_pages
from rolerunner.actions.query_text import QueryFile, find_place, render_literal
from rolerunner.actions.remote_work import (
    iter_growing_polls,
    note_started_work,
    read_started_work,
    shorten_text,
    stop_unless_done,
    wait_error,
)
from rolerunner.actions.requests import (
    check_boto3_knows,
    open_client,
    read_member,
    translate_errors,
)
from rolerunner.actions.service_api import to_method_name
from rolerunner.common.wording import format_count
from rolerunner.errors import StepError
from rolerunner.events import StepProgress
from rolerunner.iam.actions_table import build_resource_arn
from rolerunner.iam.aws_errors import TEMPORARY_FAILURE
from rolerunner.model import Permission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.actions.base import StepContext
    from rolerunner.actions.builtin.athena_query import AthenaQuery

_YOUNG_PARAMETERS = {
    "ExecutionParameters": "parameters",
    "ResultReuseConfiguration": "reuse_results",
}
"""Parameter of StartQueryExecution that some boto3 of Glue does not know -> its field."""
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
_CAUSES = {
    "TABLE_NOT_FOUND": "check the table's name, and 'database'; a table needs glue:GetTable, too",
    "SCHEMA_NOT_FOUND": "check 'database'; it needs glue:GetDatabase, too",
    "COLUMN_NOT_FOUND": "check the column's name; text needs single quotes",
    "SYNTAX_ERROR": "correct the query at this place",
    "mismatched input": "correct the query at this place",
    "Incorrect number of parameters": "'parameters' needs one value for each ? of the query",
    "Access Denied": "the role needs the data of the tables: s3:GetObject, s3:ListBucket and"
    " s3:GetBucketLocation, and kms:Decrypt for encrypted data; declare them under 'permissions'",
    "AccessDenied": "the role needs the data of the tables: s3:GetObject, s3:ListBucket and"
    " s3:GetBucketLocation, and kms:Decrypt for encrypted data; declare them under 'permissions'",
    "Insufficient Lake Formation": "grant the role the table in Lake Formation",
    "HIVE_BAD_DATA": "a file does not have the format or the types that the table declares",
    "HIVE_PARTITION_SCHEMA_MISMATCH": "a partition has other columns than the table: run"
    " catalog.partitions with 'if_exists: update'",
    "bytes scanned limit": "the workgroup limits what a query may scan: read fewer partitions",
    "Query exhausted resources": "read less, or split the query",
}
"""Part of a failed query's reason -> what to do about it."""


class AthenaRun:
    """One attempt of a step: its requests to Athena."""

    def __init__(self, action: AthenaQuery, context: StepContext) -> None:
        self.action, self.context = action, context
        self._role = context.roles["role"]
        self._client = open_client(context, self._role, "athena", action.region or "")

    def start(self, text: str) -> str:
        """Starts the query, or finds the one that was started before; returns its id."""
        earlier = _read_note(read_started_work(self.context))
        query_id = earlier.get("query_id", "")
        if query_id and self._may_succeed(query_id):
            self.context.note("info", f"waits for query {query_id}, which was started before", {})
            return query_id
        # a token that was noted without an id may have started a query, which it finds again
        token = "" if query_id else earlier.get("token", "")
        token = token or uuid.uuid4().hex
        options = self._options()
        check_boto3_knows(self._client, "StartQueryExecution", options, _YOUNG_PARAMETERS)
        note_started_work(self.context, json.dumps({"token": token}))
        answer = self._call(
            "StartQueryExecution", QueryString=text, ClientRequestToken=token, **options
        )
        query_id = str(read_member(answer, "athena StartQueryExecution", "QueryExecutionId"))
        note = json.dumps({"token": token, "query_id": query_id})
        with stop_unless_done(self.context, f"query {query_id}", lambda: self.stop(query_id)):
            note_started_work(self.context, note)
        return query_id

    def wait(self, query_id: str) -> Mapping[str, Any]:
        """Returns the execution once it has ended. Raises StepError if that takes too long."""
        action, state = self.action, ""
        for _ in iter_growing_polls(self.context, action.interval, action.max_wait):
            execution = self._look(query_id)
            state = execution["Status"]["State"]
            if state in _ENDED:
                return execution
            scanned = int(execution.get("Statistics", {}).get("DataScannedInBytes") or 0)
            self.context.progress(StepProgress(self.context.step_id, 0, scanned))
            if action.max_scanned is not None and scanned > action.max_scanned:
                raise StepError(
                    f"query {query_id} has scanned {format_count(scanned, 'byte')}, and"
                    f" 'max_scanned' is {format_count(action.max_scanned, 'byte')}",
                    hint="read fewer partitions or columns, or raise 'max_scanned'",
                    type="TooLarge",
                )
        raise wait_error(f"query {query_id}", state, action.max_wait)

    def stop(self, query_id: str) -> None:
        """Cancels the query. Raises StepError."""
        self._call("StopQueryExecution", QueryExecutionId=query_id)

    def fetch_rows(self, query_id: str, execution: Mapping[str, Any]) -> QueryRows:
        """Returns the first rows of the result."""
        has_header = execution.get("StatementType") == "DML"
        pages = iter_pages(partial(self._read_page, query_id))
        return fetch_rows(pages, self.action.max_rows, has_header=has_header)

    def _read_page(self, query_id: str, token: str) -> Mapping[str, Any]:
        self.context.cancel.stop_if_set()
        more = {"NextToken": token} if token else {}
        size = min(self.action.max_rows + 2, 1000)
        return self._call("GetQueryResults", QueryExecutionId=query_id, MaxResults=size, **more)

    def _may_succeed(self, query_id: str) -> bool:
        """Returns False for a query that failed, was cancelled or is not known any more."""
        try:
            execution = self._look(query_id)
        except StepError as error:
            if error.type == "InvalidRequestException":
                return False
            raise
        return execution["Status"]["State"] not in ("FAILED", "CANCELLED")

    def _look(self, query_id: str) -> Mapping[str, Any]:
        answer = self._call("GetQueryExecution", QueryExecutionId=query_id)
        read_member(answer, "athena GetQueryExecution", "QueryExecution", "Status", "State")
        found: Mapping[str, Any] = answer["QueryExecution"]
        return found

    def _options(self) -> dict[str, Any]:
        """Returns the parameters of StartQueryExecution besides the query."""
        action = self.action
        names = {"Database": action.database, "Catalog": action.catalog}
        result: dict[str, Any] = {"ExpectedBucketOwner": action.expected_bucket_owner}
        if action.output_location is not None:
            result["OutputLocation"] = str(action.output_location)
        if action.kms_key is not None:
            encryption = {"EncryptionOption": "SSE_KMS", "KmsKey": action.kms_key}
            result["EncryptionConfiguration"] = encryption
        reuse = None
        if action.reuse_results is not None:
            age = {"Enabled": True, "MaxAgeInMinutes": int(action.reuse_results // 60)}
            reuse = {"ResultReuseByAgeConfiguration": age}
        options = {
            "WorkGroup": action.workgroup,
            "QueryExecutionContext": _drop_unset(names),
            "ResultConfiguration": _drop_unset(result),
            "ExecutionParameters": [render_literal(each) for each in action.parameters],
            "ResultReuseConfiguration": reuse,
        }
        return {name: value for name, value in options.items() if value}

    def _call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        arn = build_resource_arn("athena", f"workgroup/{self.action.workgroup}")
        needed = [Permission(f"athena:{operation}", arn)]
        with translate_errors(self.context, self._role, f"athena {operation}", lambda: needed):
            answer: Mapping[str, Any] = getattr(self._client, to_method_name(operation))(
                **parameters
            )
        return answer


def failed_error(
    query: Union[str, QueryFile], query_id: str, status: Mapping[str, Any]
) -> StepError:
    """Returns the reason of a failed query, with the place in it and what to do."""
    error = status.get("AthenaError") or {}
    reason = shorten_text(status.get("StateChangeReason") or error.get("ErrorMessage"))
    if status["State"] == "CANCELLED":
        message = f"query {query_id} was cancelled: {reason or 'by somebody else'}"
        return StepError(message, type="QueryCancelled")
    hints = [hint for part, hint in _CAUSES.items() if part in (reason or "")]
    return StepError(
        f"{find_place(query, reason or '')}: query {query_id} failed:"
        f" {reason or 'Athena gives no reason'}",
        hint=next(iter(hints), ""),
        type=TEMPORARY_FAILURE if error.get("Retryable") else "QueryFailed",
    )


def _drop_unset(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _read_note(text: str) -> Mapping[str, str]:
    try:
        note = json.loads(text or "{}")
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}
