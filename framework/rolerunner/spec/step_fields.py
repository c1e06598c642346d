"""Models the fields that every step has, and their defaults."""

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BeforeValidator, Field

from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import DYNAMIC, Seconds, StrictModel, json_form
from rolerunner.spec.names import Name
from rolerunner.spec.permission_fields import PermissionFields
from rolerunner.spec.validation import describe_value

MAX_ATTEMPTS = 20
MAX_PARALLEL = 64
WHEN = ("on_success", "on_failure", "always")


def _validate_loop(value: Any) -> Any:
    if value is None or isinstance(value, (list, Template)):
        return value
    if (
        not isinstance(value, dict)
        or not set(value) <= {"items", "max_parallel"}
        or "items" not in value
    ):
        raise ValueError(
            "must be a list, an expression, or a mapping with 'items' and 'max_parallel'"
        )
    if not isinstance(value["items"], (list, Template)):
        raise ValueError("'items' of 'for_each' must be a list or an expression")  # noqa: TRY004
    limit = value.get("max_parallel", 1)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_PARALLEL:
        raise ValueError(f"'max_parallel' of 'for_each' must be 1 to {MAX_PARALLEL}")
    return value


def _validate_when(value: Any) -> Any:
    if isinstance(value, str) and value not in WHEN:
        raise ValueError(f"must be one of {', '.join(WHEN)}, or an expression, not '{value}'")
    return value


def describe_wrong_role(value: Any) -> str:
    """Returns the mistake of a role that is not text."""
    return f"must be an alias, an ARN, or job, not {describe_value(value)}"


def _validate_role(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(describe_wrong_role(value))


RoleName = Annotated[str, BeforeValidator(_validate_role)]
"""The name of a role as steps write it."""


class RetryFields(StrictModel):
    """The number and timing of attempts after a failed one."""

    attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS), DYNAMIC] = Field(
        3, description="Number of attempts in total, 1 to 20.", examples=[3]
    )
    delay: Seconds = Field(2.0, description="Wait before the second attempt.", examples=["2s"])
    backoff: Annotated[float, Field(ge=1, le=10), DYNAMIC] = Field(
        2.0, description="Factor by which each further wait is longer.", examples=[2]
    )
    max_delay: Seconds = Field(60.0, description="Maximum wait.", examples=["1m"])
    timeout: Optional[Seconds] = Field(
        None, description="Maximum duration of one attempt.", examples=["10m"]
    )


class Defaults(StrictModel):
    """Values for steps that do not set their own."""

    role: Optional[RoleName] = Field(
        None,
        description="The role of steps without one: an alias, an ARN, or job.",
        examples=["reader"],
    )
    on_error: Literal["fail", "continue"] = Field(
        "fail", description="Whether a failed step fails the run.", examples=["continue"]
    )
    retry: Optional[RetryFields] = Field(
        None,
        description="How often and when a failed attempt is repeated.",
        examples=[{"attempts": 3, "delay": "2s"}],
    )
    timeout: Optional[Seconds] = Field(
        None, description="Maximum duration of a step, including all attempts.", examples=["30m"]
    )


class StepFields(StrictModel):
    """The fields that every step may have, whatever its action."""

    id: Name = Field(description="The step's name in references and results.", examples=["find"])
    action: str = Field(
        description="The action to run; see the list of actions.", examples=["s3.list"]
    )
    role: Optional[RoleName] = Field(
        None,
        description="The role to run under: an alias, an ARN, or job for the job's own role.",
        examples=["reader", "job"],
    )
    needs: Optional[list[str]] = Field(
        None,
        description="Ids of the steps to wait for; by default all steps before this one.",
        examples=[["find"], []],
    )
    when: Annotated[
        Union[str, Template],
        BeforeValidator(_validate_when),
        json_form(anyOf=[{"enum": list(WHEN)}, {"type": "string", "pattern": r"\$\{\{"}]),
    ] = Field(
        "on_success",
        description="on_success, on_failure, always, or an expression that is true or false.",
        examples=["on_failure", "${{ steps.find.count > 0 }}"],
    )
    for_each: Annotated[
        Any,
        BeforeValidator(_validate_loop),
        json_form(
            anyOf=[
                {"type": "string", "pattern": r"\$\{\{"},
                {"type": "array"},
                {
                    "type": "object",
                    "properties": {
                        "items": {
                            "anyOf": [{"type": "string", "pattern": r"\$\{\{"}, {"type": "array"}]
                        },
                        "max_parallel": {"type": "integer", "minimum": 1, "maximum": MAX_PARALLEL},
                    },
                    "required": ["items"],
                    "additionalProperties": False,
                },
            ]
        ),
    ] = Field(
        None,
        description="A list: the step runs once for each item, available as 'item'. "
        "Its outputs are lists then.",
        examples=[["north", "south"], "${{ steps.find.objects }}"],
    )
    retry: Optional[RetryFields] = Field(
        None,
        description="How often and when a failed attempt is repeated.",
        examples=[{"attempts": 3, "delay": "2s"}],
    )
    timeout: Optional[Seconds] = Field(
        None, description="Maximum duration of the step, including all attempts.", examples=["30m"]
    )
    on_error: Optional[Literal["fail", "continue"]] = Field(
        None,
        description="Whether a failure of the step fails the run, or the run continues.",
        examples=["continue"],
    )
    permissions: list[PermissionFields] = Field(
        default_factory=list,
        description="Permissions beyond those derived from the fields, such as those that your own "
        "function needs.",
        examples=[
            [
                {
                    "actions": "dynamodb:PutItem",
                    "resources": "arn:aws:dynamodb:eu-west-1:111122223333:table/orders",
                }
            ]
        ],
    )
    secret_outputs: list[str] = Field(
        default_factory=list,
        description="Outputs that are secrets: never shown or kept in the state, "
        "so a resumed run repeats the step.",
        examples=[["password"]],
    )
    description: str = Field(
        "", description="What the step is for.", examples=["Lists what the partner sent today."]
    )
