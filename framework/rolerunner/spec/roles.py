"""The roles of a spec and of the files that it includes, chained by ``via``."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import JOB, Role, RoleArn
from rolerunner.spec.expressions import Template
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.spec.reader import SpecReader
from rolerunner.spec.role_fields import RoleFields
from rolerunner.spec.validation import describe_value
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.spec.document import Path

_MAX_CHAIN = 50
"""Roles that are assumed one from the other."""


@dataclass(frozen=True)
class _RoleEntry:
    reader: SpecReader
    fields: Optional[RoleFields]
    """None for a role with mistakes; its name is known, so steps that use it are not reported."""


@dataclass
class Roles:
    """Roles by alias. Call ``read`` for each file, then ``link``."""

    _entries: dict[str, _RoleEntry] = field(default_factory=dict)
    _roles: dict[str, Role] = field(default_factory=dict)
    _cycles: set[frozenset[str]] = field(default_factory=set)
    _missing: dict[str, str] = field(default_factory=dict)
    _has_long_chain: bool = False

    def read(self, roles: Mapping[str, Any], reader: SpecReader) -> None:
        """Reads the roles of a document."""
        for name, value in roles.items():
            path: Path = ("roles", name)
            if name == JOB.name:
                reader.add(
                    path, f"'{JOB.name}' is the job's own role; choose another alias", key=True
                )
            if name in self._entries:
                other = self._entries[name].reader.document.mark(path, key=True)
                reader.add(path, f"duplicate role '{name}'", f"the other is at {other}", key=True)
                continue
            self._entries[name] = _RoleEntry(reader, _read_fields(name, value, path, reader))

    def link(self) -> None:
        """Builds each role, after the roles that assume it."""
        for name in self._entries:
            self._resolve_role(name, ())

    def by_alias(self) -> dict[str, Role]:
        """Returns the roles that could be built."""
        return dict(self._roles)

    def list_undecided(self) -> list[str]:
        """Returns the aliases of roles that depend on params without a value."""
        return [name for name in self._entries if name not in self._roles]

    def explain_missing(self, hints: Mapping[str, str]) -> None:
        """Keeps hints for roles that are missing, by alias."""
        self._missing.update(hints)

    def list_aliases(self) -> list[str]:
        """Returns all aliases, also those of roles with mistakes."""
        return list(self._entries)

    def is_known(self, name: str) -> bool:
        """Returns True for an alias or the job's own role."""
        return name == JOB.name or name in self._entries

    def check(self, wanted: str, path: Path, reader: SpecReader) -> None:
        """Reports a role that is not an alias, an ARN, or job."""
        if self.is_known(wanted):
            return
        if wanted.startswith("arn:"):
            try:
                RoleArn.parse(wanted)
            except ValueError as error:
                from rolerunner.spec.foreign_addresses import suggest_role_arn  # noqa: PLC0415 - a right spec has no use for it

                reader.add(path, str(error), suggest_role_arn(wanted))
            return
        hint = (
            self._missing.get(wanted)
            or suggest_name(wanted, (*self._entries, JOB.name))
            or "declare it under 'roles', or write its ARN, or 'job' for the job's own role"
        )
        reader.add(path, f"there is no role '{wanted}'", hint)

    def find(self, wanted: str) -> Optional[Role]:
        """Returns the role that a step names; None for one with mistakes."""
        if wanted == JOB.name:
            return JOB
        if wanted.startswith("arn:"):
            role = Role(arn=wanted, name=wanted)
            return next((known for known in self._roles.values() if known == role), role)
        return self._roles.get(wanted)

    def _resolve_role(self, name: str, above: tuple[str, ...]) -> Optional[Role]:
        entry = self._entries[name]
        if name in self._roles or entry.fields is None:
            return self._roles.get(name)
        if name in above:
            if frozenset(above) in self._cycles:
                return None
            self._cycles.add(frozenset(above))
            entry.reader.add(
                ("roles", name, "via"),
                f"'via' forms a cycle: {' -> '.join((*above, name))}",
            )
            return None
        via = self._resolve_via(name, entry.fields.via, above)
        if entry.fields.via is not None and via is None:
            return None
        role = _build_role(name, entry.fields, via)
        if role is not None:
            _check_role(name, role, entry.reader)
            self._roles[name] = role
        return role

    def _resolve_via(self, name: str, via: Optional[str], above: tuple[str, ...]) -> Optional[Role]:
        if via is None:
            return None
        if via not in self._entries:
            self._entries[name].reader.add(
                ("roles", name, "via"),
                f"there is no role '{via}'",
                self._missing.get(via) or suggest_name(via, self._entries),
            )
            return None
        role = None if len(above) >= _MAX_CHAIN else self._resolve_role(via, (*above, name))
        if len(above) < _MAX_CHAIN and (role is None or _chain_length(role) < _MAX_CHAIN):
            return role
        if not self._has_long_chain:  # the roles behind it are as long
            self._has_long_chain = True
            message = f"'{name}' is assumed through a chain of more than {_MAX_CHAIN} roles"
            self._entries[name].reader.add(("roles", name, "via"), message)
        return None


def _chain_length(role: Role) -> int:
    length = 1
    while role.via is not None:
        role, length = role.via, length + 1
    return length


def _read_fields(name: str, value: Any, path: Path, reader: SpecReader) -> Optional[RoleFields]:
    short = isinstance(value, str)
    if not short and not isinstance(value, dict):
        reader.add(
            path, f"the role '{name}' must be an ARN or a mapping, not {describe_value(value)}"
        )
        return None
    read = reader.parse_templates(value, path, ("params",))
    filled = reader.fill_known(read, path)
    return reader.validate_model(RoleFields, {"arn": filled} if short else filled, path)


def _check_role(name: str, role: Role, reader: SpecReader) -> None:
    arn = RoleArn.parse(role.arn)
    if role.account and role.account != arn.account:
        reader.add(
            ("roles", name, "account"),
            f"the role '{name}' has the account {role.account}, but its ARN is in {arn.account}",
        )
    if role.via is not None and RoleArn.parse(role.via.arn).partition != arn.partition:
        reader.add(
            ("roles", name, "via"),
            f"'{name}' cannot be assumed from '{role.via}': they are in different partitions",
        )
    keys = {key for key, _ in role.tags}
    for index, key in enumerate(role.transitive_tag_keys):
        if key not in keys:
            reader.add(
                ("roles", name, "transitive_tags", index),
                f"'{key}' is not among the tags",
                suggest_name(key, keys),
            )


def _build_role(name: str, fields: RoleFields, via: Optional[Role]) -> Optional[Role]:
    if any(isinstance(value, Template) for value in vars(fields).values()) or any(
        iter_templates([fields.tags, fields.transitive_tags, fields.policy_arns])
    ):
        return None  # depends on a param without a value
    policy = "" if fields.session_policy in (None, "none") else str(fields.session_policy)
    return Role(
        arn=fields.arn,
        name=name,
        via=via,
        session_name=fields.session_name or "",
        external_id=fields.external_id or "",
        duration=int(fields.duration),
        policy=policy,
        policy_arns=tuple(sorted(fields.policy_arns)),
        tags=tuple(sorted(fields.tags.items())),
        transitive_tag_keys=tuple(fields.transitive_tags),
        source_identity=fields.source_identity or "",
        region=fields.region or "",
        account=fields.account or "",
        sts_endpoint=fields.sts_endpoint or "",
    )
