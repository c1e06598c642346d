"""aws.call"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache, partial
from typing import Annotated, Any, ClassVar, Optional, Union

from pydantic import BeforeValidator, model_validator

from rolerunner.actions.base import Action, Field, StepContext, iter_polls
from rolerunner.actions.secret_shapes import (
    hands_out_credentials,
    is_secret_at,
    seal_answer,
    seal_selected,
)
from rolerunner.errors import FieldError, ServiceFailed, StepError
from rolerunner.events import StepProgress
from rolerunner.iam.actions_table import derive_permissions
from rolerunner.iam.denials import AwsError, explain_error
from rolerunner.model import Permission
from rolerunner.redaction.secrets import Secret
from rolerunner.spec.expressions import Template
from rolerunner.spec.fields import DYNAMIC, Seconds, Strict, Text
from rolerunner.spec.values import suggested

MAX_BODY = 1 << 20
"""Bytes of a streamed answer that are read: a larger one belongs in s3.download or python.call."""


def _expression(value: Any) -> Any:
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


Query = Annotated[str, BeforeValidator(_expression), DYNAMIC]


class WaitUntil(Strict):
    """Ask again and again until an expression is true."""

    expression: Query = Field(
        description="A JMESPath expression over the answer: done when it is true.",
        examples=["JobRun.JobRunState == 'SUCCEEDED'"],
    )
    fails_if: Optional[Query] = Field(
        None,
        description="A JMESPath expression: the step fails at once when it is true.",
        examples=["JobRun.JobRunState == 'FAILED'"],
    )
    interval: Seconds = Field(
        10.0, description="How long between two calls, give or take a fifth.", examples=["30s"]
    )
    max_wait: Seconds = Field(
        3600.0, description="How long to wait in all; then the step fails.", examples=["2h"]
    )


class AwsCall(Action):
    """Call any operation of any AWS service under the step's role.

    Service, operation and parameters are checked against the service's own model before anything runs. Where the model
    has pages, all of them are fetched. Credentials are not handed out: sessions are what ``role`` is for.
    """

    kind: ClassVar[str] = "aws.call"
    content_fields: ClassVar[tuple[str, ...]] = ("parameters", "select", "wait_until")
    example: ClassVar[Mapping[str, Any]] = {"parameters": {"Name": "orders"}, "service": "glue"}
    outputs: ClassVar[Optional[Mapping[str, str]]] = None

    service: Text = Field(description="The service, as boto3 names it.", examples=["glue", "sqs"])
    operation: Text = Field(
        description="The operation, as the API or boto3 names it.", examples=["StartCrawler"]
    )
    parameters: dict[str, Annotated[Any, DYNAMIC]] = Field(
        default_factory=dict,
        description="Its parameters, as the API names them.",
        examples=[{"Name": "orders"}],
    )
    region: Optional[Text] = Field(
        None, description="Another region than the role's.", examples=["us-east-1"]
    )
    select: Optional[Query] = Field(
        None, description="A JMESPath expression: what of the answer becomes the outputs; a value that is no mapping becomes 'result'.",
        examples=["{state: Crawler.State}"],
    )  # fmt: skip
    max_items: Optional[Annotated[int, Field(ge=1), DYNAMIC]] = Field(
        None, description="Stop paging after so many items.", examples=[1000]
    )
    wait_until: Optional[WaitUntil] = Field(
        None,
        description="Call again until an expression is true.",
        examples=[{"expression": "Crawler.State == 'READY'", "interval": "30s"}],
    )

    idempotent: bool = Field(
        True,
        description="false: after an unknown outcome (a timeout, a lost connection, a dead run) neither retry nor resume calls it again.",
        examples=[False],
    )

    @model_validator(mode="before")
    @classmethod
    def _as_the_api_names_it(cls, value: Any) -> Any:
        """boto3's own names do too: list_buckets is ListBuckets."""
        if (
            isinstance(value, dict)
            and isinstance(value.get("service"), str)
            and isinstance(value.get("operation"), str)
        ):
            return {**value, "operation": _api_name(value["service"], value["operation"])}
        return value

    @model_validator(mode="after")
    def _fits_the_service(self) -> "AwsCall":
        if self.wait_until is not None and self.idempotent is False:
            raise ValueError(
                "'wait_until' calls again and again, so 'idempotent: false' does not go with it"
            )
        if not isinstance(self.service, Template) and not isinstance(self.operation, Template):
            problems = list(_problems(self.service, self.operation, self.parameters))
            if problems:
                raise ValueError("; ".join(problems))
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Call, perhaps again and again, and select."""
        call = self._call(context)
        answer = call() if self.wait_until is None else self._waited(self.wait_until, call, context)
        sealed = self._sealed(answer)
        found = (
            sealed
            if self.select is None
            else seal_selected(partial(_searched, self.select), answer, sealed)
        )
        return found if isinstance(found, Mapping) else {"result": found}

    @classmethod
    def takes_secret(cls, path: tuple[Union[str, int], ...]) -> bool:
        """Parameters may be secrets."""
        return path[0] == "parameters"

    @classmethod
    def is_secret_output(cls, fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
        """By the service's own model, through ``select``."""
        service, operation, select = (
            fields.get(name) for name in ("service", "operation", "select")
        )
        if (
            not isinstance(service, str)
            or not isinstance(operation, str)
            or not isinstance(select, (str, type(None)))
        ):
            return super().is_secret_output(fields, path)
        shape = _output_shape(service, _api_name(service, operation))
        if shape is None:
            return super().is_secret_output(fields, path)
        try:
            return is_secret_at(
                shape,
                service,
                path,
                lambda answer: answer if select is None else _searched(select, answer),
            )
        except (FieldError, ValueError):  # no such expression, or one that stand-ins do not fit
            return super().is_secret_output(fields, path)

    def _sealed(self, answer: Any) -> Any:
        """The answer with its secrets as secret values, which are known from then on."""
        return seal_answer(answer, _output_shape(self.service, self.operation), self.service)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """The IAM actions of the operation; of S3 on the bucket or object that the parameters name.

        Else on everything, unless the step says `permissions`.
        """
        if "*" in self.service + self.operation:
            return {}
        return {"role": self._needed()}

    def _needed(self) -> Sequence[Permission]:
        return derive_permissions(
            self.service, _iam_prefix(self.service), self.operation, self.parameters
        )

    def _call(self, context: StepContext) -> Callable[[], Any]:
        """The call, whose answer is plain JSON. It raises StepError."""
        from botocore import xform_name  # noqa: PLC0415 - checking a spec does without clients
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError  # noqa: PLC0415

        role = context.roles["role"]
        config = (
            None
            if self.idempotent
            else Config(retries={"mode": "standard", "total_max_attempts": 1})
        )
        client = context.sessions.client(
            role, self.service, region=self.region or "", config=config
        )
        method = xform_name(self.operation)

        def call() -> Any:
            try:
                if client.can_paginate(method):
                    limits = {"MaxItems": self.max_items} if self.max_items else {}
                    answer = _plain(
                        client.get_paginator(method)
                        .paginate(**self.parameters, PaginationConfig=limits)
                        .build_full_result()
                    )
                else:
                    answer = _plain(getattr(client, method)(**self.parameters))
                self._sealed(answer)  # errors of expressions quote it
                return answer
            except ClientError as error:
                raise explain_error(
                    AwsError.of(error),
                    role,
                    caller=context.sessions.session_arn(role),
                    needed=self._needed(),
                ) from error
            except ParamValidationError as error:
                raise FieldError(f"{self.service} {self.operation}: {error}") from None
            except BotoCoreError as error:
                raise ServiceFailed(
                    f"{self.service} {self.operation}: {error}", type=type(error).__name__
                ) from error

        return call

    def _waited(self, wait: WaitUntil, call: Callable[[], Any], context: StepContext) -> Any:
        for number in iter_polls(context, wait.interval, wait.max_wait):
            answer = call()
            if wait.fails_if is not None and _searched(wait.fails_if, answer):
                raise StepError(
                    f"{self.service} {self.operation}: '{wait.fails_if}' became true",
                    type="WaitFailed",
                )
            if _searched(wait.expression, answer):
                return answer
            context.progress(StepProgress(context.step_id, number, 0))
        hint = "raise 'max_wait', or see what holds it up"
        told = f"'{wait.expression}' not true after {wait.max_wait:g} s"
        raise StepError(f"{self.service} {self.operation}: {told}", hint=hint, type="WaitTimeout")


def _searched(expression: str, answer: Any) -> Any:
    import jmespath  # noqa: PLC0415
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415

    try:
        return jmespath.search(expression, answer)
    except JMESPathError as error:
        raise FieldError(f"'{expression}': {error}") from None


def _plain(value: Any) -> Any:
    """An answer in plain JSON kinds: moments in ISO 8601, bytes in base64, streams read."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items() if key != "ResponseMetadata"}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, bytes):
        return _text(value)
    if hasattr(value, "read"):
        data = value.read(MAX_BODY + 1)
        value.close()
        if len(data) > MAX_BODY:
            raise StepError(
                f"the answer's body has more than {MAX_BODY:,} bytes",
                hint="use s3.download or python.call",
                type="TooLarge",
            )
        return _text(data)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()


# what the service's own model says


@lru_cache(maxsize=32)
def _model(service: str) -> Any:
    """The service's model, or the names of all services where there is no such one."""
    from botocore.model import ServiceModel  # noqa: PLC0415 - a spec without aws.call does without it

    from rolerunner.sessions.service_models import shared_loader  # noqa: PLC0415

    names = shared_loader().list_available_services("service-2")
    return (
        ServiceModel(shared_loader().load_service_model(service, "service-2"), service)
        if service in names
        else tuple(names)
    )


def _output_shape(service: str, operation: str) -> Any:
    """The shape of an operation's output; None where there is none, or no such operation."""
    model = _model(service)
    return (
        None
        if isinstance(model, tuple) or operation not in model.operation_names
        else model.operation_model(operation).output_shape
    )


def _api_name(service: str, operation: str) -> str:
    """The API's name of an operation that may be said as boto3 says it."""
    if not operation.islower():
        return operation
    from botocore import xform_name  # noqa: PLC0415

    model = _model(service)
    names = () if isinstance(model, tuple) else model.operation_names
    return next((name for name in names if xform_name(name) == operation), operation)


def _iam_prefix(service: str) -> str:
    """What IAM calls the service, where the table says nothing else: the name that its requests are signed with."""
    model = _model(service)
    return service if isinstance(model, tuple) else str(model.signing_name)


def _problems(service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    model = _model(service)
    if isinstance(model, tuple):
        yield f"'service': there is no AWS service '{service}'" + suggested(service, model)
        return
    if operation not in model.operation_names:
        yield f"'operation': {service} has no operation '{operation}'" + suggested(
            operation, model.operation_names
        )
        return
    if hands_out_credentials(service, operation, model.operation_model(operation).output_shape):
        yield f"'operation': {operation} hands out credentials, which steps do not need: say 'role', or call it in a function of yours"
        return
    shape = model.operation_model(operation).input_shape
    if shape is not None:
        yield from _mismatches(parameters, shape, "parameters")
    elif parameters:
        yield f"'parameters': {operation} takes none"


_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "character": (str,), "integer": (int,), "long": (int,), "float": (int, float), "double": (int, float),
    "boolean": (bool,), "list": (list, tuple), "map": (Mapping,), "structure": (Mapping,),
    "timestamp": (str, int, float, date, datetime), "blob": (str, bytes),
}  # fmt: skip
_WORDS = {
    "string": "text", "integer": "a whole number", "long": "a whole number", "boolean": "true or false", "list": "a list", "map": "a mapping",
    "structure": "a mapping", "timestamp": "a date or time", "blob": "text", "float": "a number", "double": "a number",
}  # fmt: skip


_TAKE_TEXT = ("string", "character", "blob", "timestamp")


def _mismatches(value: Any, shape: Any, place: str) -> Iterator[str]:
    """What in a value does not fit the shape; an expression fits anything."""
    if isinstance(value, Template) or getattr(shape, "is_document_type", False):
        return
    if isinstance(value, Secret):
        if shape.type_name not in _TAKE_TEXT:
            yield f"'{place}' must be {_WORDS.get(shape.type_name, shape.type_name)}, and is a secret text"
        return
    kinds = _KINDS.get(shape.type_name, (object,))
    if not _is_one_of(value, kinds):
        yield f"'{place}' must be {_WORDS.get(shape.type_name, shape.type_name)}, not {value!r}"
    elif shape.type_name == "structure":
        yield from _structure(value, shape, place)
    elif shape.type_name == "list":
        for index, each in enumerate(value):
            yield from _mismatches(each, shape.member, f"{place}[{index}]")
    elif shape.type_name == "map":
        for key, each in value.items():
            yield from _mismatches(each, shape.value, f"{place}.{key}")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"'{place}' cannot be '{value}'" + suggested(value, shape.enum)
    elif shape.type_name == "timestamp" and isinstance(value, str) and not _is_moment(value):
        yield f"'{place}' must be a date or time such as 2026-01-31T06:00:00Z, not '{value}'"


def _is_moment(text: str) -> bool:
    """Returns True if botocore can read the text as a date and time."""
    from botocore.utils import parse_timestamp  # noqa: PLC0415 - few calls have one

    try:
        parse_timestamp(text)
    except (ValueError, OverflowError):
        return False
    return True


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """Is it of one of the types? True and false are no numbers here."""
    return isinstance(value, kinds) and not (
        isinstance(value, bool) and bool not in kinds and object not in kinds
    )


def _structure(value: Mapping[str, Any], shape: Any, place: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield f"'{place}' needs '{name}'"
    for name, each in value.items():
        member = shape.members.get(name)
        if member is None:
            yield f"'{place}' has no '{name}'" + suggested(name, tuple(shape.members))
        else:
            yield from _mismatches(each, member, f"{place}.{name}")
