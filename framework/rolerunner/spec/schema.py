"""pydantic models of the spec file, apart from what belongs to an action."""

import json
import re
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BeforeValidator, Field, model_validator

from rolerunner.model import RoleArn
from rolerunner.spec.fields import DYNAMIC, Seconds, Strict, Text, json_form

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
MIN_DURATION, MAX_DURATION = 900, 3600
"""Seconds that a chained role session may last: a Glue job's own credentials are a session already (IAM user guide)."""
MAX_TAGS = 50
MAX_POLICY = 2048
"""Characters of an inline session policy (STS API reference)."""

_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}\Z", re.ASCII)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}\Z", re.ASCII)


def check_name(value: Any) -> Any:
    """An id, alias or param name. Raises ValueError."""
    if isinstance(value, str) and not NAME.match(value):
        raise ValueError(f"must be a letter followed by letters, digits, '_' or '-' (64 at most), not '{value}'")
    return value


def _arn(value: Any) -> Any:
    if isinstance(value, str):
        RoleArn.parse(value)
    return value


def _matching(pattern: "re.Pattern[str]", what: str) -> Any:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(what)
        return value

    return check


def _duration_limit(value: float) -> float:
    if isinstance(value, float) and not MIN_DURATION <= value <= MAX_DURATION:
        raise ValueError("must be 15m to 1h: a role that is assumed from a job's role lasts an hour at most")
    return value


def _account(value: Any) -> Any:
    if isinstance(value, int):
        raise ValueError(f'an account id is text; write "{value:012d}" in quotes')  # noqa: TRY004 - pydantic takes ValueError
    if isinstance(value, str) and not re.fullmatch(r"\d{12}", value):
        raise ValueError(f"an account id has twelve digits, not '{value}'")
    return value


def _policy(value: Any) -> Any:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True) if isinstance(value, dict) else value
    if isinstance(text, str) and len(text) > MAX_POLICY:
        raise ValueError(f"an inline session policy has at most {MAX_POLICY} characters, this one has {len(text)}")
    return text


Name = Annotated[str, BeforeValidator(check_name), json_form(type="string", pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


class RoleFields(Strict):
    """A role in the spec, in the long form."""

    arn: Annotated[str, BeforeValidator(_arn), DYNAMIC] = Field(description="The role's ARN.")
    external_id: Annotated[
        Optional[str], BeforeValidator(_matching(_EXTERNAL_ID, "an external id has 2 to 1224 of letters, digits and _+=,.@:/-")), DYNAMIC
    ] = Field(None, description="What the role's trust policy asks for in sts:ExternalId.")
    duration: Annotated[Seconds, BeforeValidator(lambda value: value)] = Field(3600.0, description="How long a session lasts: 15m to 1h.")
    region: Optional[Text] = Field(None, description="The region whose STS and S3 are called.")
    account: Annotated[Optional[str], BeforeValidator(_account), DYNAMIC] = Field(
        None, description="Held against the ARN, and against who we are after the assume."
    )
    session_name: Annotated[
        Optional[str], BeforeValidator(_matching(_SESSION_NAME, "a session name has 2 to 64 of letters, digits and _+=,.@-")), DYNAMIC
    ] = Field(None, description="The name CloudTrail shows; the job's name and run by default.")
    tags: dict[str, Text] = Field(default_factory=dict, description="Session tags; need sts:TagSession on both sides.")
    transitive_tags: list[Text] = Field(default_factory=list, description="Tag keys that pass on to roles assumed through this one.")
    source_identity: Optional[Text] = Field(None, description="Needs sts:SetSourceIdentity on both sides.")
    session_policy: Annotated[Union[str, dict[str, Any], None], BeforeValidator(_policy), DYNAMIC] = Field(
        None, description="An inline policy that narrows the session; none by default."
    )
    policy_arns: list[Text] = Field(default_factory=list, max_length=10, description="Managed policies that narrow the session.")
    via: Optional[Name] = Field(None, description="The alias of the role this one is assumed from, instead of the job's own.")

    @model_validator(mode="after")
    def _check_limits(self) -> "RoleFields":
        _duration_limit(self.duration)
        if len(self.tags) > MAX_TAGS:
            raise ValueError(f"a session has at most {MAX_TAGS} tags, this one has {len(self.tags)}")
        return self


class ParamFields(Strict):
    """A parameter that the spec declares."""

    type: Literal["string", "integer", "number", "boolean", "date"] = Field("string", description="What its text is read as.")
    required: bool = Field(False, description="Must it be given?")
    default: Any = Field(None, description="Its value when it is not given.")
    min: Optional[Union[int, float]] = Field(None, description="The least number.")
    max: Optional[Union[int, float]] = Field(None, description="The greatest number.")
    choices: Optional[list[Any]] = Field(None, description="The values it may have.")
    pattern: Optional[str] = Field(None, description="A regular expression its whole text must match.")
    description: str = Field("", description="What it is for.")


class Defaults(Strict):
    """What every step has that does not say otherwise."""

    role: Optional[str] = Field(None, description="The role of steps that name none: an alias, an ARN, or job.")
    on_error: Literal["fail", "continue"] = Field("fail", description="What a failed step does to the run.")


class SpecFile(Strict):
    """The top of a job spec. Steps and roles are looked at one by one, so that each mistake is found."""

    version: Literal[1] = Field(description="The version of the spec language: 1.")
    name: Name = Field(description="The job's name: letters, digits, '-' and '_'.")
    description: str = Field("", description="What the job is for.")
    params: dict[Name, ParamFields] = Field(default_factory=dict, description="What the job is given for each run.")
    roles: dict[Name, Any] = Field(default_factory=dict, description="Alias -> ARN, or the long form.")
    defaults: Defaults = Field(default_factory=Defaults, description="What steps have that do not say otherwise.")
    assume: Literal["first", "lazily"] = Field("first", description="Assume every role before the first step, or each when it is needed.")
    steps: list[Any] = Field(min_length=1, description="What is done, top to bottom.")


class StepFields(Strict):
    """What every step may say, whatever its action."""

    id: Name = Field(description="The step's name in references and results.")
    action: str = Field(description="What it does; see the list of actions.")
    role: Optional[str] = Field(None, description="The role it runs under: an alias, an ARN, or job for the job's own.")
    on_error: Optional[Literal["fail", "continue"]] = Field(None, description="continue: a failure does not stop the run.")
    description: str = Field("", description="What the step is for.")
