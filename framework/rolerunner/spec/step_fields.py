"""Models the fields that every step has, and their defaults."""

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BeforeValidator, Field

from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import DYNAMIC, Allowed, Seconds, StrictModel, json_form
from rolerunner.spec.names import Name
from rolerunner.spec.permission_fields import PermissionFields
from rolerunner.spec.validation import describe_value
from rolerunner.spec.values import HintedError

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
        from rolerunner.spec.misnomers import suggest_choice  # noqa: PLC0415 - a right spec has no use for it

        message = f"must be one of {', '.join(WHEN)}, or an expression, not '{value}'"
        raise HintedError(message, suggest_choice(value, WHEN))
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


When = Annotated[
    Union[str, Template],
    BeforeValidator(_validate_when),
    json_form(anyOf=[{"enum": list(WHEN)}, {"type": "string", "pattern": r"\$\{\{"}]),
]
Loop = Annotated[
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
]
"""The items of a step or a group: a list, an expression, or a mapping with ``items``."""


class StepFields(StrictModel):
    """The fields that every step may have, whatever its action."""

    id: Name = Field(description="The step's name in references and results.", examples=["find"])
    action: str = Field(
        description="The action to run; see the list of actions.", examples=["s3.list"]
    )
    role: Optional[RoleName] = Field(
        None,
        description="The role to run under: an alias, an ARN, or job for the job's own role. In "
        "a step with for_each, and inside a group, an expression may give the item's alias.",
        examples=["reader", "job", "${{ item.role }}"],
    )
    needs: Optional[list[str]] = Field(
        None,
        description="Ids of the steps to wait for; by default all steps before this one.",
        examples=[["find"], []],
    )
    when: When = Field(
        "on_success",
        description="on_success, on_failure, always, or an expression that is true or false.",
        examples=["on_failure", "${{ steps.find.count > 0 }}"],
    )
    for_each: Loop = Field(
        None,
        description="A list: the step runs once for each item, available as 'item'. "
        "Its outputs are lists then.",
        examples=[["north", "south"], "${{ steps.find.objects }}"],
    )
    roles: Optional[list[Name]] = Field(
        None,
        description="Aliases that a 'role' with an expression may give; needed where the items are "
        "known only during the run.",
        examples=[["north_reader", "south_reader"]],
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


class GroupFields(StrictModel):
    """A group: steps that run, in their order, once for each item of a list."""

    id: Name = Field(
        description="The group's name in references and results.", examples=["partners"]
    )
    for_each: Loop = Field(
        description="The items: the steps run once for each, available as 'item'.",
        examples=[[{"name": "north", "role": "north_reader"}], "${{ params.partners }}"],
    )
    steps: Annotated[list[Any], Field(min_length=1)] = Field(
        description="The steps that run for each item. They read each other by their ids, and the "
        "steps before the group; their outputs are lists outside: steps.GROUP.ID.OUTPUT.",
        examples=[[{"id": "find", "action": "s3.list", "source": "s3://in-${{ item.name }}/"}]],
    )
    needs: Optional[list[str]] = Field(
        None,
        description="Ids of the steps to wait for; by default all steps before this one.",
        examples=[["find"], []],
    )
    when: When = Field(
        "on_success",
        description="on_success, on_failure, always, or an expression that is true or false.",
        examples=["on_failure", "${{ steps.find.count > 0 }}"],
    )
    max_parallel: Optional[Annotated[int, Field(ge=1, le=MAX_PARALLEL)]] = Field(
        None,
        description="Maximum number of items at once; the job's max_parallel by default.",
        examples=[2],
    )
    max_failures: Allowed = Field(
        0,
        description="Maximum number (or percentage) of items that may fail; the group then ends "
        "as warning. After one more, no further item starts.",
        examples=[1, "10%"],
    )
    roles: Optional[list[Name]] = Field(
        None,
        description="Aliases that roles with an expression may give, for all steps of the group.",
        examples=[["north_reader", "south_reader"]],
    )
    timeout: Optional[Seconds] = Field(
        None, description="Maximum duration of the group, with all items.", examples=["2h"]
    )
    on_error: Optional[Literal["fail", "continue"]] = Field(
        None,
        description="Whether a failure of the group fails the run, or the run continues.",
        examples=["continue"],
    )
    description: str = Field(
        "", description="What the group is for.", examples=["Fetches what each partner sent."]
    )
