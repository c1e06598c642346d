"""pydantic models of the spec file, apart from what belongs to an action."""

import ipaddress
import json
import re
from typing import Annotated, Any, Literal, Optional, Union
from urllib.parse import urlparse

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from rolerunner.model import AUTO, PER_STEP, RoleArn, S3Uri
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import (
    DYNAMIC,
    Account,
    Bytes,
    Seconds,
    StrictModel,
    Text,
    json_form,
)
from rolerunner.spec.params import check_pattern
from rolerunner.spec.permission_fields import PermissionFields
from rolerunner.spec.values import check_tag_text

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
MIN_DURATION, MAX_DURATION = 900, 3600
"""Seconds that a chained role session may last: a Glue job's own credentials are a session already (IAM user guide)."""
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 50, 128, 256
MAX_POLICY = 2048
"""Characters of an inline session policy (STS API reference)."""
MAX_ATTEMPTS = 20

_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}\Z", re.ASCII)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}\Z", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}\Z")
_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(aws|\d{12}):policy/[\x21-\x7e]+\Z")


def check_name(value: Any) -> Any:
    """An id, alias or param name. Raises ValueError."""
    if isinstance(value, str) and not NAME.match(value):
        raise ValueError(
            f"'{value}' is not a name: a letter, then letters, digits, '_' or '-', 64 in all at most"
        )
    return value


def _arn(value: Any) -> Any:
    if isinstance(value, str):
        RoleArn.parse(value)
    return value


def _matching(pattern: "re.Pattern[str]", what: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(f"must be {what}, not '{value}'")
        return value

    return BeforeValidator(check)


def _session_seconds(value: Any) -> Any:
    if isinstance(value, float) and not MIN_DURATION <= value <= MAX_DURATION:
        raise ValueError(
            "must be 15m to 1h: a role that is assumed from a job's role lasts an hour at most"
        )
    return value


def _source_identity(value: Any) -> Any:
    if isinstance(value, str) and (not _SESSION_NAME.match(value) or value.startswith("aws:")):
        raise ValueError(
            "must be 2 to 64 of letters, digits and _+=,.@-, and may not begin with aws:"
        )
    return value


def _policy(value: Any) -> Any:
    if value in (None, "none", AUTO, PER_STEP) or isinstance(value, Template):
        return value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"must be a policy in JSON or YAML: {error}") from None
    if not isinstance(value, dict) or "Statement" not in value:
        raise ValueError("must be a policy with a 'Statement'")
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    if len(text) > MAX_POLICY:
        raise ValueError(f"may have {MAX_POLICY} characters as compact JSON, and has {len(text)}")
    return text


def _tags(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if len(value) > MAX_TAGS:
        raise ValueError(f"may be {MAX_TAGS} at most, and are {len(value)}")
    seen: dict[str, str] = {}
    for key, text in value.items():
        if not 1 <= len(key) <= MAX_TAG_KEY or (
            isinstance(text, str) and len(text) > MAX_TAG_VALUE
        ):
            raise ValueError(
                f"have keys of 1 to {MAX_TAG_KEY} and values of up to {MAX_TAG_VALUE} characters: '{key[:40]}' has not"
            )
        if key.lower().startswith("aws:"):
            raise ValueError(
                f"may not begin with aws:, as '{key}' does: AWS keeps such keys for itself"
            )
        check_tag_text(key, "the key")
        check_tag_text(text if isinstance(text, str) else "", "the value")
        other = seen.setdefault(key.lower(), key)
        if other != key:
            raise ValueError(
                f"'{other}' and '{key}' are one tag key to AWS, which does not look at case"
            )
    return value


def _endpoint(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    place = urlparse(value)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ValueError(
            f"must be a URL such as https://sts.eu-west-1.amazonaws.com, not '{value}'"
        )
    try:
        link_local = ipaddress.ip_address(place.hostname).is_link_local
    except ValueError:
        return value
    if (
        link_local
    ):  # the metadata service of the machine listens there: a spec has no business with it
        raise ValueError(f"may not be a link-local address such as {place.hostname}")
    return value


def _loop(value: Any) -> Any:
    if value is None or isinstance(value, (list, Template)):
        return value
    if (
        not isinstance(value, dict)
        or not set(value) <= {"items", "max_parallel"}
        or "items" not in value
    ):
        raise ValueError(
            "must be a list, an expression, or a mapping of 'items' and 'max_parallel'"
        )
    if not isinstance(value["items"], (list, Template)):
        raise ValueError("'items' of 'for_each' must be a list or an expression")  # noqa: TRY004
    limit = value.get("max_parallel", 1)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_PARALLEL:
        raise ValueError(f"'max_parallel' of 'for_each' must be 1 to {MAX_PARALLEL}")
    return value


LEAST_MEMORY = 112 << 20
"""Bytes of the smallest process that can be promised: Python, boto3 and the spec take some 80 of these MiB."""
MAX_PARALLEL = 64
WHEN = ("on_success", "on_failure", "always")


def _when(value: Any) -> Any:
    if isinstance(value, str) and value not in WHEN:
        raise ValueError(f"must be one of {', '.join(WHEN)}, or an expression, not '{value}'")
    return value


Name = Annotated[
    str,
    BeforeValidator(check_name),
    json_form(type="string", pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$"),
]
_POLICY_FORM = json_form(
    anyOf=[{"enum": ["none", "auto", "auto-per-step"]}, {"type": "string"}, {"type": "object"}]
)


class RoleFields(StrictModel):
    """A role in the spec, in the long form."""

    arn: Annotated[str, BeforeValidator(_arn), DYNAMIC] = Field(
        description="The role's ARN.", examples=["arn:aws:iam::111122223333:role/landing-reader"]
    )
    external_id: Annotated[
        Optional[str],
        _matching(_EXTERNAL_ID, "an external id of 2 to 1224 letters, digits and _+=,.@:/-"),
        DYNAMIC,
    ] = Field(
        None,
        description="What the role's trust policy asks for in sts:ExternalId.",
        examples=["ex-1"],
    )
    duration: Annotated[Seconds, AfterValidator(_session_seconds)] = Field(
        3600.0, description="How long a session lasts: 15m to 1h.", examples=["1h"]
    )
    region: Annotated[Optional[str], _matching(_REGION, "a region such as eu-west-1"), DYNAMIC] = (
        Field(None, description="The region whose STS and S3 are called.", examples=["eu-west-1"])
    )
    account: Optional[Account] = Field(
        None,
        description="Held against the ARN, and against who we are after the assume.",
        examples=["111122223333"],
    )
    session_name: Annotated[
        Optional[str],
        _matching(_SESSION_NAME, "a session name of 2 to 64 letters, digits and _+=,.@-"),
        DYNAMIC,
    ] = Field(
        None,
        description="The name CloudTrail shows; the job's name and run by default.",
        examples=["nightly-orders"],
    )
    tags: Annotated[dict[str, Text], BeforeValidator(_tags)] = Field(
        default_factory=dict,
        description="Session tags; need sts:TagSession on both sides.",
        examples=[{"team": "orders"}],
    )
    transitive_tags: list[Text] = Field(
        default_factory=list,
        description="Tag keys that pass on to roles assumed through this one.",
        examples=[["team"]],
    )
    source_identity: Annotated[Optional[str], BeforeValidator(_source_identity), DYNAMIC] = Field(
        None, description="Needs sts:SetSourceIdentity on both sides.", examples=["ada"]
    )
    session_policy: Annotated[Optional[str], BeforeValidator(_policy), _POLICY_FORM, DYNAMIC] = (
        Field(
            None,
            description="What narrows a session: none, auto (to what the role's steps need), auto-per-step (a session for each step), or a policy.",
            examples=[
                "auto",
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": "s3:GetObject",
                            "Resource": "arn:aws:s3:::landing/*",
                        }
                    ],
                },
            ],
        )
    )
    policy_arns: Annotated[
        list[
            Annotated[
                str,
                _matching(
                    _POLICY_ARN, "a policy ARN such as arn:aws:iam::aws:policy/ReadOnlyAccess"
                ),
                DYNAMIC,
            ]
        ],
        Field(max_length=10),
    ] = Field(
        default_factory=list,
        description="Managed policies that narrow the session; 10 at most.",
        examples=[["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]],
    )
    via: Optional[Name] = Field(
        None,
        description="The alias of the role this one is assumed from, instead of the job's own.",
        examples=["hub"],
    )
    sts_endpoint: Annotated[Optional[str], BeforeValidator(_endpoint), DYNAMIC] = Field(
        None,
        description="The STS endpoint to ask, for one that is not the region's own.",
        examples=["https://vpce-1.sts.eu-west-1.vpce.amazonaws.com"],
    )


class ParamFields(StrictModel):
    """A parameter that the spec declares."""

    type: Literal[
        "string",
        "integer",
        "number",
        "boolean",
        "date",
        "datetime",
        "duration",
        "size",
        "list",
        "choice",
    ] = Field("string", description="What its text is read as.", examples=["date"])
    required: bool = Field(False, description="Must it be given?", examples=[True])
    default: Any = Field(
        None,
        description="Its value when it is not given; may be an expression of today and now.",
        examples=["2026-01-31", "${{ today | minus(1) }}"],
    )
    min: Any = Field(
        None, description="The least value; of a string or list, the least length.", examples=[1]
    )
    max: Any = Field(
        None,
        description="The greatest value; of a string or list, the greatest length.",
        examples=[10],
    )
    choices: Optional[list[Any]] = Field(
        None, description="The values it may have.", examples=[["dev", "prod"]]
    )
    pattern: Annotated[Optional[str], BeforeValidator(check_pattern)] = Field(
        None, description="A regular expression its whole text must match.", examples=["[a-z]+"]
    )
    secret: bool = Field(
        False,
        description="Is it a secret? Then it is never shown or stored, and may flow only into arguments, parameters and customer keys.",
        examples=[True],
    )
    description: str = Field(
        "", description="What it is for.", examples=["The day whose orders are fetched."]
    )


class RetryFields(StrictModel):
    """How often and when a step is tried again."""

    attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS), DYNAMIC] = Field(
        3, description="Tries in all, 1 to 20.", examples=[3]
    )
    delay: Seconds = Field(2.0, description="The wait before the second try.", examples=["2s"])
    backoff: Annotated[float, Field(ge=1, le=10), DYNAMIC] = Field(
        2.0, description="Each further wait is so many times the one before.", examples=[2]
    )
    max_delay: Seconds = Field(60.0, description="The longest wait.", examples=["1m"])
    timeout: Optional[Seconds] = Field(
        None, description="How long one try may take.", examples=["10m"]
    )


class Defaults(StrictModel):
    """What every step has that does not say otherwise."""

    role: Optional[str] = Field(
        None,
        description="The role of steps that name none: an alias, an ARN, or job.",
        examples=["reader"],
    )
    on_error: Literal["fail", "continue"] = Field(
        "fail", description="What a failed step does to the run.", examples=["continue"]
    )
    retry: Optional[RetryFields] = Field(
        None,
        description="How often and when a step is tried again.",
        examples=[{"attempts": 3, "delay": "2s"}],
    )
    timeout: Optional[Seconds] = Field(
        None, description="How long a step may take, all tries together.", examples=["30m"]
    )


class StateFields(StrictModel):
    """Where the state of runs is kept, so that a run can be resumed and two never mix."""

    location: Text = Field(
        description="A folder of this machine, or s3://bucket/prefix/.",
        examples=["s3://ops-bucket/rolerunner/state/", "/var/lib/rolerunner/"],
    )
    role: Optional[str] = Field(
        None,
        description="The role that keeps it in S3: an alias, an ARN, or job.",
        examples=["publisher"],
    )
    stale_after: Seconds = Field(
        120.0,
        description="A run that was not heard of for so long may be taken over.",
        examples=["5m"],
    )

    @model_validator(mode="after")
    def _role_goes_with_s3(self) -> "StateFields":
        if isinstance(self.location, Template):
            return self
        if self.location.startswith("s3://"):
            S3Uri.parse(self.location)
            if self.role is None:
                raise ValueError("'state' in S3 needs a 'role': an alias, an ARN, or job")
        elif self.role is not None:
            raise ValueError("'role' of 'state' goes with a location in S3")
        if not isinstance(self.stale_after, Template) and self.stale_after < 1:
            raise ValueError("'stale_after' must be at least 1s")
        return self


class SpecFile(StrictModel):
    """The top of a job spec. Steps and roles are looked at one by one, so that each mistake is found."""

    version: Literal[1] = Field(description="The version of the spec language: 1.", examples=[1])
    name: Name = Field(
        description="The job's name: letters, digits, '-' and '_'.", examples=["nightly-orders"]
    )
    description: str = Field(
        "",
        description="What the job is for.",
        examples=["Fetch the partner's orders, publish them."],
    )
    params: dict[Name, ParamFields] = Field(
        default_factory=dict,
        description="What the job is given for each run.",
        examples=[{"run_date": {"type": "date", "required": True}}],
    )
    include: list[str] = Field(
        default_factory=list,
        description="Files of roles that several specs share, relative to this one.",
        examples=[["shared/roles.yaml"]],
    )
    roles: dict[Name, Any] = Field(
        default_factory=dict,
        description="Alias -> ARN, or the long form.",
        examples=[{"reader": "arn:aws:iam::111122223333:role/reader"}],
    )
    defaults: Defaults = Field(
        default_factory=Defaults,
        description="What steps have that do not say otherwise.",
        examples=[{"role": "reader", "timeout": "30m"}],
    )
    assume: Literal["first", "lazily"] = Field(
        "first",
        description="Assume every role before the first step, or each when it is needed.",
        examples=["lazily"],
    )
    max_parallel: Annotated[int, Field(ge=1, le=MAX_PARALLEL)] = Field(
        4, description="How many steps run at once, where 'needs' allows it.", examples=[4]
    )
    on_failure: Literal["stop", "finish"] = Field(
        "stop",
        description="After a failed step: stop begins no other; finish still runs those that do not depend on it.",
        examples=["finish"],
    )
    deadline: Optional[Seconds] = Field(
        None, description="How long after the start a step may still begin.", examples=["6h"]
    )
    engine: Literal["fast", "boto3"] = Field(
        "fast",
        description="What moves objects: the fast engine, which leaves to boto3 what it cannot do, or boto3 alone.",
        examples=["boto3"],
    )
    memory: Optional[Annotated[Bytes, Field(ge=LEAST_MEMORY)]] = Field(
        None,
        description="What the run's processes together should stay below, 112MiB at least; some 250 MB without it.",
        examples=["128MB"],
    )
    state: Any = Field(
        None,
        description="Where the state of runs is kept, for resuming.",
        examples=[{"location": "s3://ops-bucket/state/", "role": "publisher"}],
    )
    glue: Any = Field(
        None,
        description="How the job is deployed to AWS Glue.",
        examples=[
            {
                "runtime": "pythonshell",
                "role": "glue-nightly",
                "artifacts": "s3://ops-bucket/rolerunner/",
            }
        ],
    )
    steps: list[Any] = Field(
        min_length=1,
        description="What is done, top to bottom.",
        examples=[
            [{"id": "find", "action": "s3.list", "role": "reader", "source": "s3://landing/in/"}]
        ],
    )


class IncludedFile(StrictModel):
    """A file of roles that several specs share."""

    roles: dict[Name, Any] = Field(
        description="Alias -> ARN, or the long form.",
        examples=[{"reader": "arn:aws:iam::111122223333:role/reader"}],
    )


class StepFields(StrictModel):
    """What every step may say, whatever its action."""

    id: Name = Field(description="The step's name in references and results.", examples=["find"])
    action: str = Field(description="What it does; see the list of actions.", examples=["s3.list"])
    role: Optional[str] = Field(
        None,
        description="The role it runs under: an alias, an ARN, or job for the job's own.",
        examples=["reader", "job"],
    )
    needs: Optional[list[str]] = Field(
        None,
        description="Ids of the steps it waits for; without it, all that stand before it.",
        examples=[["find"], []],
    )
    when: Annotated[
        Union[str, Template],
        BeforeValidator(_when),
        json_form(anyOf=[{"enum": list(WHEN)}, {"type": "string", "pattern": r"\$\{\{"}]),
    ] = Field(
        "on_success",
        description="on_success, on_failure, always, or an expression that is true or false.",
        examples=["on_failure", "${{ steps.find.count > 0 }}"],
    )
    for_each: Annotated[
        Any,
        BeforeValidator(_loop),
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
        description="A list: the step is done once for each, which it reads as 'item'. Its outputs are then lists.",
        examples=[["north", "south"], "${{ steps.find.objects }}"],
    )
    retry: Optional[RetryFields] = Field(
        None,
        description="How often and when it is tried again.",
        examples=[{"attempts": 3, "delay": "2s"}],
    )
    timeout: Optional[Seconds] = Field(
        None, description="How long it may take, all tries together.", examples=["30m"]
    )
    on_error: Optional[Literal["fail", "continue"]] = Field(
        None, description="continue: a failure does not stop the run.", examples=["continue"]
    )
    permissions: list[PermissionFields] = Field(
        default_factory=list,
        description="What it needs besides what its fields tell, such as what a function of yours calls.",
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
        description="Outputs that are secrets: never shown, and not kept in the state, so that a resumed run does the step again.",
        examples=[["password"]],
    )
    description: str = Field(
        "", description="What the step is for.", examples=["What the partner sent today."]
    )
