"""Models a role in a spec, with the limits that IAM and STS set."""

import ipaddress
import json
import re
from typing import Annotated, Any, Optional
from urllib.parse import urlparse

from pydantic import AfterValidator, BeforeValidator, Field

from rolerunner.model import AUTO, PER_STEP, RoleArn
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import DYNAMIC, Account, Seconds, StrictModel, Text, json_form
from rolerunner.spec.names import Name
from rolerunner.spec.values import HintedError, check_tag_text

MIN_DURATION, MAX_DURATION = 900, 3600
"""Seconds that a session of a chained role may last (IAM user guide).

A Glue job's own credentials already are a session, so each role that it assumes is chained.
"""
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 50, 128, 256
MAX_POLICY = 2048
"""Maximum number of characters of an inline session policy (STS API reference)."""

_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}\Z", re.ASCII)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}\Z", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}\Z")
_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(aws|\d{12}):policy/[\x21-\x7e]+\Z")


def _validate_arn(value: Any) -> Any:
    if isinstance(value, str):
        try:
            RoleArn.parse(value)
        except ValueError as error:
            from rolerunner.spec.foreign_addresses import suggest_role_arn  # noqa: PLC0415 - a right spec has no use for it

            raise HintedError(str(error), suggest_role_arn(value)) from None
    return value


def _require_pattern(pattern: "re.Pattern[str]", what: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(f"must be {what}, not '{value}'")
        return value

    return BeforeValidator(check)


def _session_seconds(value: Any) -> Any:
    if isinstance(value, float) and not MIN_DURATION <= value <= MAX_DURATION:
        raise ValueError(
            "must be 15m to 1h: a session of a role assumed by another role lasts at most an hour"
        )
    return value


def _source_identity(value: Any) -> Any:
    if isinstance(value, str) and (not _SESSION_NAME.match(value) or value.startswith("aws:")):
        raise ValueError("must be 2 to 64 letters, digits and _+=,.@-, and cannot begin with aws:")
    return value


def _validate_policy(value: Any) -> Any:
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
        raise ValueError(
            f"must have at most {MAX_POLICY} characters as compact JSON, not {len(text)}"
        )
    return text


def _validate_tags(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if len(value) > MAX_TAGS:
        raise ValueError(f"must have at most {MAX_TAGS} tags, not {len(value)}")
    seen: dict[str, str] = {}
    for key, text in value.items():
        if not 1 <= len(key) <= MAX_TAG_KEY or (
            isinstance(text, str) and len(text) > MAX_TAG_VALUE
        ):
            raise ValueError(
                f"must have keys of 1 to {MAX_TAG_KEY} and values of up to {MAX_TAG_VALUE} "
                f"characters, unlike '{key[:40]}'"
            )
        if key.lower().startswith("aws:"):
            raise ValueError(f"cannot have the key '{key}': AWS reserves keys that begin with aws:")
        check_tag_text(key, "the key")
        check_tag_text(text if isinstance(text, str) else "", "the value")
        other = seen.setdefault(key.lower(), key)
        if other != key:
            raise ValueError(
                f"'{other}' and '{key}' are the same tag key to AWS, which ignores case"
            )
    return value


def _validate_endpoint(value: Any) -> Any:
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
    if link_local:  # the instance metadata service listens there
        raise ValueError(f"cannot be a link-local address such as {place.hostname}")
    return value


_POLICY_FORM = json_form(
    anyOf=[{"enum": ["none", "auto", "auto-per-step"]}, {"type": "string"}, {"type": "object"}]
)


class RoleFields(StrictModel):
    """A role in its long form."""

    arn: Annotated[str, BeforeValidator(_validate_arn), DYNAMIC] = Field(
        description="The role's ARN.", examples=["arn:aws:iam::111122223333:role/landing-reader"]
    )
    external_id: Annotated[
        Optional[str],
        _require_pattern(_EXTERNAL_ID, "an external id of 2 to 1224 letters, digits and _+=,.@:/-"),
        DYNAMIC,
    ] = Field(
        None,
        description="The external ID that the role's trust policy requires (sts:ExternalId).",
        examples=["ex-1"],
    )
    duration: Annotated[Seconds, AfterValidator(_session_seconds)] = Field(
        3600.0, description="Duration of a session: 15m to 1h.", examples=["1h"]
    )
    region: Annotated[
        Optional[str], _require_pattern(_REGION, "a region such as eu-west-1"), DYNAMIC
    ] = Field(
        None,
        description="The region of the STS and S3 endpoints to call.",
        examples=["eu-west-1"],
    )
    account: Optional[Account] = Field(
        None,
        description="The expected account; "
        "checked against the ARN and against the assumed session.",
        examples=["111122223333"],
    )
    session_name: Annotated[
        Optional[str],
        _require_pattern(_SESSION_NAME, "a session name of 2 to 64 letters, digits and _+=,.@-"),
        DYNAMIC,
    ] = Field(
        None,
        description="The session name that CloudTrail shows; by default the job's name and run id.",
        examples=["nightly-orders"],
    )
    tags: Annotated[dict[str, Text], BeforeValidator(_validate_tags)] = Field(
        default_factory=dict,
        description="Session tags; both sides need to allow sts:TagSession.",
        examples=[{"team": "orders"}],
    )
    transitive_tags: list[Text] = Field(
        default_factory=list,
        description="Keys of tags that are passed on to roles assumed through this one.",
        examples=[["team"]],
    )
    source_identity: Annotated[Optional[str], BeforeValidator(_source_identity), DYNAMIC] = Field(
        None,
        description="The source identity; both sides need to allow sts:SetSourceIdentity.",
        examples=["ada"],
    )
    session_policy: Annotated[
        Optional[str], BeforeValidator(_validate_policy), _POLICY_FORM, DYNAMIC
    ] = Field(
        None,
        description="The session policy: none, auto (allows what the role's steps need), "
        "auto-per-step (one session for each step), or a policy.",
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
    policy_arns: Annotated[
        list[
            Annotated[
                str,
                _require_pattern(
                    _POLICY_ARN, "a policy ARN such as arn:aws:iam::aws:policy/ReadOnlyAccess"
                ),
                DYNAMIC,
            ]
        ],
        Field(max_length=10),
    ] = Field(
        default_factory=list,
        description="ARNs of managed policies that limit the session; at most 10.",
        examples=[["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]],
    )
    via: Optional[Name] = Field(
        None,
        description="The alias of the role that assumes this one, instead of the job's own role.",
        examples=["hub"],
    )
    sts_endpoint: Annotated[Optional[str], BeforeValidator(_validate_endpoint), DYNAMIC] = Field(
        None,
        description="The STS endpoint to call instead of the region's own.",
        examples=["https://vpce-1.sts.eu-west-1.vpce.amazonaws.com"],
    )
