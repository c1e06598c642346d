"""Makes up the secrets and parameters that a spec fetches, for a world derived from it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rolerunner.model import RoleArn
from rolerunner.sandbox.world_secrets import SandboxParameter, SandboxSecret
from rolerunner.spec.expressions import Template
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.spec.param_values import parse_param

if TYPE_CHECKING:
    from rolerunner.model import Plan, SecretSource

_KEY_BYTES = 32
"""Bytes of a customer key."""
_ARN_PARTS = 7
"""Parts of a secret's ARN, of which the last is its name with six more characters."""


@dataclass
class MadeUpSecrets:
    """Made-up secrets and parameters, with notes on them."""

    secrets: list[SandboxSecret] = field(default_factory=list)
    parameters: list[SandboxParameter] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_up_secrets(plan: Plan, job_role: str) -> MadeUpSecrets:
    """Returns a secret or parameter for each one that the plan fetches."""
    found = MadeUpSecrets()
    keys = set(_list_customer_keys(plan))
    by_place: dict[tuple[str, str, str, str], list[SecretSource]] = {}
    for secret in plan.secrets:
        source = secret.source
        account = RoleArn.parse(source.role.arn or job_role).account
        place = (source.service, source.name, account, source.region or source.role.region)
        by_place.setdefault(place, []).append(source)
    for (service, name, caller, region), sources in by_place.items():
        text = _make_text(sources, keys)
        if service == "ssm":
            found.parameters.append(_make_parameter(name, caller, region, text))
        else:
            found.secrets.append(_make_secret(name, caller, region, text))
        found.notes += [_describe(source, keys) for source in sources]
    return found


def _describe(source: SecretSource, keys: set[str]) -> str:
    note = f"{source} is made up; set it with -p {source.param}=@FILE, or in a sandbox file"
    try:
        parse_param(source.rules, _make_value(source, keys))
    except ValueError:
        return f"{note}: it does not match the pattern of the param"
    return note


def _make_text(sources: list[SecretSource], keys: set[str]) -> str:
    values = {each.json_key: _make_value(each, keys) for each in sources}
    whole = values.pop(None, "")
    return json.dumps(values) if values else whole


def _make_value(source: SecretSource, keys: set[str]) -> str:
    rules = source.rules
    if rules.choices:
        return str(rules.choices[0])
    if source.param in keys:
        return base64.b64encode(source.param.encode().ljust(_KEY_BYTES, b".")[:_KEY_BYTES]).decode()
    text = f"sample-{source.param}".ljust(int(rules.min or 0), "x")
    return text[: int(rules.max)] if rules.max else text


def _list_customer_keys(plan: Plan) -> Iterator[str]:
    """Yields the params that are customer keys, which have a form of their own."""
    for planned in plan.steps:
        for path, template in iter_templates(dict(planned.fields)):
            if str(path[-1]).endswith("customer_key") and _is_param(template):
                yield template.references[0].path[1]


def _is_param(template: Template) -> bool:
    return template.name is not None and template.name.path[0] == "params"


def _make_parameter(name: str, account: str, region: str, text: str) -> SandboxParameter:
    if name.startswith("arn:"):
        account, path = name.split(":")[4], name.split(":")[5].partition("/")[2]
        name = f"/{path}" if "/" in path else path
    name = name.partition(":")[0]
    return SandboxParameter(name=name, account=account, text=text, **_in_region(region))


def _make_secret(name: str, caller: str, region: str, text: str) -> SandboxSecret:
    if not name.startswith("arn:"):
        return SandboxSecret(name=name, account=caller, text=text, **_in_region(region))
    account = name.split(":")[4]
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{caller}:root"},
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
    }
    policy: list[dict[str, Any]] = [] if account == caller else [grant]
    if SandboxSecret.is_whole_arn(name):
        return SandboxSecret(arn=name, text=text, policy=policy)
    title = name.split(":")[_ARN_PARTS - 1]
    return SandboxSecret(
        name=title, account=account, text=text, policy=policy, **_in_region(region)
    )


def _in_region(region: str) -> Mapping[str, Any]:
    return {"region": region} if region else {}
