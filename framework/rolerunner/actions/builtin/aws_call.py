"""Defines the action ``aws.call``."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Optional, Union

from pydantic import BeforeValidator, model_validator

from rolerunner.actions.base import Action, Field, StepContext, iter_polls
from rolerunner.actions.json_answers import to_plain_json
from rolerunner.actions.polling_fields import RegionFields, interval_field, max_wait_field
from rolerunner.actions.requests import open_client, translate_errors
from rolerunner.actions.secret_shapes import (
    is_secret_at,
    seal_answer,
    seal_selected,
)
from rolerunner.actions.service_api import (
    find_iam_prefix,
    find_operation_errors,
    find_output_shape,
    to_api_name,
    to_method_name,
)
from rolerunner.errors import FieldError, StepError
from rolerunner.events import StepProgress
from rolerunner.iam.actions_table import derive_permissions
from rolerunner.model import Permission
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import DYNAMIC, Seconds, StrictModel, Text


def _check_expression(value: Any) -> Any:
    if isinstance(value, str):
        import jmespath  # noqa: PLC0415 - comes with boto3, and only this needs it
        from jmespath.exceptions import JMESPathError  # noqa: PLC0415

        try:
            jmespath.compile(value)
        except JMESPathError as error:
            raise ValueError(
                f"is not a JMESPath expression: {str(error).splitlines()[0]}"
            ) from None
    return value


Query = Annotated[str, BeforeValidator(_check_expression), DYNAMIC]


class WaitUntil(StrictModel):
    """Repeat a call until an expression is true."""

    expression: Query = Field(
        description="A JMESPath expression over the response; the step ends when it is true.",
        examples=["JobRun.JobRunState == 'SUCCEEDED'"],
    )
    fails_if: Optional[Query] = Field(
        None,
        description="A JMESPath expression over the response; the step fails when it is true.",
        examples=["JobRun.JobRunState == 'FAILED'"],
    )
    interval: Seconds = interval_field(10.0, "two calls")
    max_wait: Seconds = max_wait_field(3600.0)


class AwsCall(RegionFields, Action):
    """Call any operation of any AWS service under the step's role.

    Service, operation and parameters are checked against the service's model before anything runs.
    All pages of a paginated operation are read, up to 64 MiB. Operations that return credentials
    are refused: use ``role`` to obtain a session.
    """

    kind: ClassVar[str] = "aws.call"
    calls_any_service: ClassVar[bool] = True
    content_fields: ClassVar[tuple[str, ...]] = ("parameters", "select", "wait_until")
    example: ClassVar[Mapping[str, Any]] = {"parameters": {"Name": "orders"}, "service": "glue"}
    outputs: ClassVar[Optional[Mapping[str, str]]] = None

    service: Text = Field(
        description="The service, by its name in boto3.", examples=["glue", "sqs"]
    )
    operation: Text = Field(
        description="The operation, by its name in the API or in boto3.", examples=["StartCrawler"]
    )
    parameters: dict[str, Annotated[Any, DYNAMIC]] = Field(
        default_factory=dict,
        description="The parameters of the operation, by their names in the API.",
        examples=[{"Name": "orders"}],
    )
    select: Optional[Query] = Field(
        None, description=(
"A JMESPath expression that selects the outputs from the response; a value "
"that is not a mapping becomes 'result'."
),
        examples=["{state: Crawler.State}"],
    )  # fmt: skip
    max_items: Optional[Annotated[int, Field(ge=1), DYNAMIC]] = Field(
        None, description="Maximum number of items to read from pages.", examples=[1000]
    )
    wait_until: Optional[WaitUntil] = Field(
        None,
        description="Repeat the call until an expression is true.",
        examples=[{"expression": "Crawler.State == 'READY'", "interval": "30s"}],
    )

    idempotent: bool = Field(
        True,
        description=(
            "false: after an unknown outcome (a timeout, a lost connection, a dead run), neither"
            " retry nor resume calls it again."
        ),
        examples=[False],
    )

    @model_validator(mode="before")
    @classmethod
    def _as_the_api_names_it(cls, value: Any) -> Any:
        """Accepts boto3's names too: list_buckets is ListBuckets."""
        if (
            isinstance(value, dict)
            and isinstance(value.get("service"), str)
            and isinstance(value.get("operation"), str)
        ):
            return {**value, "operation": to_api_name(value["service"], value["operation"])}
        return value

    @model_validator(mode="after")
    def _fits_the_service(self) -> "AwsCall":
        if self.wait_until is not None and self.idempotent is False:
            raise ValueError("'wait_until' repeats the call, which 'idempotent: false' forbids")
        if not isinstance(self.service, Template) and not isinstance(self.operation, Template):
            problems = list(find_operation_errors(self.service, self.operation, self.parameters))
            if problems:
                raise ValueError("; ".join(problems))
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Calls the operation, repeatedly if the step waits, and selects the outputs."""
        call = self._build_call(context)
        answer = (
            call() if self.wait_until is None else self._call_until(self.wait_until, call, context)
        )
        sealed = self._seal_response(answer)
        found = (
            sealed
            if self.select is None
            else seal_selected(partial(_search_answer, self.select), answer, sealed)
        )
        return found if isinstance(found, Mapping) else {"result": found}

    @classmethod
    def accepts_secret(cls, path: tuple[Union[str, int], ...]) -> bool:
        """Returns True for the parameters."""
        return path[0] == "parameters"

    @classmethod
    def is_secret_output(cls, fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
        """Returns True if the service's model marks what ``select`` selects as secret."""
        service, operation, select = (
            fields.get(name) for name in ("service", "operation", "select")
        )
        if (
            not isinstance(service, str)
            or not isinstance(operation, str)
            or not isinstance(select, (str, type(None)))
        ):
            return super().is_secret_output(fields, path)
        shape = find_output_shape(service, to_api_name(service, operation))
        if shape is None:
            return super().is_secret_output(fields, path)
        try:
            return is_secret_at(
                shape,
                service,
                path,
                lambda answer: answer if select is None else _search_answer(select, answer),
            )
        except (FieldError, ValueError):  # no such expression, or one that stand-ins do not fit
            return super().is_secret_output(fields, path)

    def _seal_response(self, answer: Any) -> Any:
        """Returns the response with its secrets as secret values, which are then redacted."""
        return seal_answer(answer, find_output_shape(self.service, self.operation), self.service)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """The IAM actions of the operation.

        They are for S3 on the bucket or object that the parameters name, for other services on all
        resources, unless the step declares `permissions`.
        """
        if "*" in self.service + self.operation:
            return {}
        return {"role": self._needed_permissions()}

    def _needed_permissions(self) -> Sequence[Permission]:
        return derive_permissions(
            self.service, find_iam_prefix(self.service), self.operation, self.parameters
        )

    def _build_call(self, context: StepContext) -> Callable[[], Any]:
        """Returns the call, which gives plain JSON and raises StepError."""
        role = context.roles["role"]
        client = open_client(context, role, self.service, self.region or "", retry=self.idempotent)
        method = to_method_name(self.operation)
        request = f"{self.service} {self.operation}"

        def call() -> Any:
            with translate_errors(context, role, request, self._needed_permissions):
                answer = to_plain_json(self._send_request(client, method, context))
                self._seal_response(answer)  # errors of expressions quote it
                return answer

        return call

    def _send_request(self, client: Any, method: str, context: StepContext) -> Any:
        if not client.can_paginate(method):
            return getattr(client, method)(**self.parameters)
        from rolerunner.sessions.bounded_pages import paginate  # noqa: PLC0415 - imports botocore

        return paginate(
            client,
            method,
            self.parameters,
            max_items=self.max_items,
            on_page=context.cancel.stop_if_set,
        ).build_full_result()

    def _call_until(self, wait: WaitUntil, call: Callable[[], Any], context: StepContext) -> Any:
        for number in iter_polls(context, wait.interval, wait.max_wait):
            answer = call()
            if wait.fails_if is not None and _search_answer(wait.fails_if, answer):
                raise StepError(
                    f"{self.service} {self.operation}: '{wait.fails_if}' became true",
                    type="WaitFailed",
                )
            if _search_answer(wait.expression, answer):
                return answer
            context.progress(StepProgress(context.step_id, number, 0))
        hint = "raise 'max_wait', or find out what delays it"
        problem = f"'{wait.expression}' not true after {wait.max_wait:g} s"
        raise StepError(
            f"{self.service} {self.operation}: {problem}", hint=hint, type="WaitTimeout"
        )


def _search_answer(expression: str, answer: Any) -> Any:
    import jmespath  # noqa: PLC0415
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415

    try:
        return jmespath.search(expression, answer)
    except JMESPathError as error:
        raise FieldError(f"'{expression}': {error}") from None
