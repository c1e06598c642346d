"""Compares the policies that a spec needs with those that roles have."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import unquote

from rolerunner.errors import UsageError
from rolerunner.iam.policy import list_statements
from rolerunner.iam.policy_patterns import is_covering, match_statement
from rolerunner.model import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rolerunner.iam.policy import Statement
    from rolerunner.policies.least_privilege import RolePolicies

LACKS, UNSURE, EXTRA, WIDE, UNKNOWN = "lacks", "unsure", "extra", "wide", "unknown"


@dataclass(frozen=True)
class GrantedPolicies:
    """The statements of a role's policies, and of its trust policy; None if that is not known."""

    statements: tuple[Mapping[str, Any], ...]
    trust: Optional[tuple[Mapping[str, Any], ...]] = None


@dataclass(frozen=True)
class PolicyDifference:
    """A difference. ``kind`` is lacks, unsure (a condition decides), extra, wide, or unknown."""

    role: str
    kind: str
    action: str
    resource: str
    why: str = ""

    def as_json(self) -> dict[str, str]:
        """Returns the difference as JSON types."""
        return asdict(self)


def read_granted_policies(path: Path) -> dict[str, GrantedPolicies]:
    """Reads the policies of roles from a file. Raises UsageError.

    The file has the output of ``aws iam get-account-authorization-details`` or ``rolerunner iam``,
    or maps role ARNs to lists of policy documents.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return dict(_parse_holdings(data))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        forms = (
            "the output of 'aws iam get-account-authorization-details' or of 'rolerunner iam', "
            "or {ROLE ARN: [POLICY, ...]}"
        )
        raise UsageError(f"{path}: is not {forms}") from None


def _parse_holdings(data: Mapping[str, Any]) -> Iterator[tuple[str, GrantedPolicies]]:
    if "RoleDetailList" in data:
        managed = {each["Arn"]: _default_version(each) for each in data.get("Policies", [])}
        for role in data["RoleDetailList"]:
            attached = [
                managed[each["PolicyArn"]]
                for each in role.get("AttachedManagedPolicies", [])
                if each["PolicyArn"] in managed
            ]
            yield (
                role["Arn"],
                parse_granted_policies(
                    [
                        *(each["PolicyDocument"] for each in role.get("RolePolicyList", [])),
                        *attached,
                    ],
                    role["AssumeRolePolicyDocument"],
                ),
            )
    elif "roles" in data:
        for role in data["roles"]:
            yield role["arn"] or "", parse_granted_policies([role["permissions"]], role["trust"])
    else:
        for arn, documents in data.items():
            yield (
                arn,
                parse_granted_policies([documents] if isinstance(documents, dict) else documents),
            )


def _default_version(managed: Mapping[str, Any]) -> Any:
    return next(
        each["Document"] for each in managed["PolicyVersionList"] if each["IsDefaultVersion"]
    )


def parse_granted_policies(documents: Iterable[Any], trust: Any = None) -> GrantedPolicies:
    """Parses policy documents, which are mappings or text, URL-encoded as by IAM's API."""
    statements = tuple(
        statement for each in documents for statement in list_statements(_parse_document(each))
    )
    return GrantedPolicies(
        statements, None if trust is None else tuple(list_statements(_parse_document(trust)))
    )


def _parse_document(value: Any) -> Mapping[str, Any]:
    read_granted_policies: Mapping[str, Any] = (
        json.loads(unquote(value)) if isinstance(value, str) else value
    )
    return read_granted_policies


def compare_policies(
    wanted: Sequence[RolePolicies], have: Mapping[str, GrantedPolicies]
) -> list[PolicyDifference]:
    """Returns the differences by role, with missing permissions first."""
    found: list[PolicyDifference] = []
    for role in wanted:
        name = ", ".join(role.names)
        held = have.get(role.arn) if role.arn else None
        if held is None:
            why = "its policies are not known" if role.arn else "set --job-role ARN"
            found.append(PolicyDifference(name, UNKNOWN, "", role.arn or "its ARN", why))
            continue
        needed = [permission for each in role.permissions for permission in _list_permissions(each)]
        found += [
            each
            for permission in needed
            for each in _find_missing(name, permission, held.statements)
        ]
        found += _find_untrusted(name, role, held)
        found += [
            each for statement in held.statements for each in _too_much(name, statement, needed)
        ]
    order = (LACKS, UNSURE, UNKNOWN, EXTRA, WIDE)
    return sorted(
        found,
        key=lambda each: (
            [", ".join(role.names) for role in wanted].index(each.role),
            order.index(each.kind),
        ),
    )


def _list_permissions(statement: Statement) -> Iterator[Permission]:
    for action in statement.actions:
        for resource in statement.resources:
            yield Permission(action, resource, statement.condition)


def _find_missing(
    role: str, permission: Permission, statements: Sequence[Mapping[str, Any]]
) -> Iterator[PolicyDifference]:
    answers = [(each["Effect"], match_statement(dict(each), permission)) for each in statements]
    allowed = [
        conditions for effect, conditions in answers if effect == "Allow" and conditions is not None
    ]
    denied = [
        conditions for effect, conditions in answers if effect == "Deny" and conditions is not None
    ]
    shown = permission.action, permission.resource + _format_permission(permission)
    if any(not conditions for conditions in denied):
        yield PolicyDifference(role, LACKS, *shown, "a Deny statement forbids it")
    elif not allowed:
        yield PolicyDifference(role, LACKS, *shown)
    elif denied:
        yield PolicyDifference(role, UNSURE, *shown, f"denied where {'; '.join(denied[0])}")
    elif all(allowed):
        yield PolicyDifference(role, UNSURE, *shown, f"allowed where {'; '.join(min(allowed))}")


def _format_permission(permission: Permission) -> str:
    return "".join(f" ({key}: {', '.join(values)})" for _, key, values in permission.condition)


def _too_much(
    role: str, statement: Mapping[str, Any], needed: Sequence[Permission]
) -> Iterator[PolicyDifference]:
    if statement["Effect"] != "Allow":
        return
    if "NotAction" in statement or "NotResource" in statement:
        yield PolicyDifference(
            role,
            WIDE,
            "NotAction" if "NotAction" in statement else "NotResource",
            "",
            "allows all but what it names",
        )
        return
    for action in _as_list(statement["Action"]):
        for resource in _as_list(statement["Resource"]):
            used = [
                each
                for each in needed
                if _can_overlap(action.lower(), each.action.lower())
                and _can_overlap(resource, each.resource)
            ]
            if not used:
                yield PolicyDifference(role, EXTRA, action, resource)
            elif not any(
                is_covering(each.action.lower(), action.lower())
                and is_covering(each.resource, resource)
                for each in needed
            ):
                yield PolicyDifference(
                    role, WIDE, action, resource, f"needed: {', '.join(_summarize_wildcards(used))}"
                )
            elif "Condition" not in statement and all(each.condition for each in used):
                yield PolicyDifference(
                    role, WIDE, action, resource, f"needed only where{_format_permission(used[0])}"
                )


def _can_overlap(have: str, need: str) -> bool:
    return is_covering(have, need) or is_covering(need, have)


def _summarize_wildcards(used: Sequence[Permission]) -> list[str]:
    shown_uses = list(dict.fromkeys(f"{each.action} on {each.resource}" for each in used))
    return (
        shown_uses
        if len(shown_uses) <= _TOLD
        else [*shown_uses[:_TOLD], f"and {len(shown_uses) - _TOLD} more"]
    )


_TOLD = 3


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _find_untrusted(
    role: str, wanted: RolePolicies, held: GrantedPolicies
) -> Iterator[PolicyDifference]:
    """Yields principals that are not trusted, or only under a condition."""
    if held.trust is None:
        return
    for statement in wanted.trust:
        principal = next(iter(statement["Principal"].values()))
        for action in _as_list(statement["Action"]):
            permission = Permission(action, "*", tuple(_list_conditions(statement)))
            allowed = [
                _find_trust(dict(each), principal, permission)
                for each in held.trust
                if each["Effect"] == "Allow"
            ]
            conditions = [each for each in allowed if each is not None]
            if not conditions:
                yield PolicyDifference(role, LACKS, action, f"trust of {principal}")
            elif all(conditions):
                yield PolicyDifference(
                    role,
                    UNSURE,
                    action,
                    f"trust of {principal}",
                    f"allowed where {'; '.join(min(conditions))}",
                )


def _list_conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            yield operator, key, tuple(_as_list(values))


def _find_trust(
    statement: dict[str, Any], principal: str, permission: Permission
) -> Optional[tuple[str, ...]]:
    value = statement.get("Principal", {})
    named = ["*"] if value == "*" else [name for each in value.values() for name in _as_list(each)]
    account = principal.split(":")[4] if principal.startswith("arn:") else ""
    whole = (
        {"*", account, f"arn:{principal.split(':')[1]}:iam::{account}:root"} if account else {"*"}
    )
    if not ({principal} | whole) & set(named):
        return None
    return match_statement({**statement, "Resource": "*"}, permission)
