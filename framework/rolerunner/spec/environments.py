"""Environments of a spec: changes to its values for, say, dev and prod.

An environment is applied to the parsed document, before anything is checked. So all checks see one
spec, and ``Document.origins`` keeps the place of each changed value.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import UsageError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.document import Document, Origin
from rolerunner.spec.names import check_name
from rolerunner.spec.schema import SpecFile, StateFields
from rolerunner.spec.validation import describe_value, list_keys, suggest_key
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import BaseModel

    from rolerunner.spec.document import Path
    from rolerunner.spec.reader import SpecReader

KEY = "environments"
"""The section of a spec that lists its environments."""
SECTIONS = ("params", "roles", "state", "notify", "glue", "telemetry")
"""The sections that an environment can change."""
_OF_ALIASES = ("params", "roles")
"""Sections whose entries an environment can change, but not add."""
_PARAM_KEYS = ("default", "required", "from", "role", "kms_key")
_SOURCE_KEYS = ("from", "role", "kms_key")
"""Keys of a param that an environment can change; a plain value is a default."""


@dataclass(frozen=True)
class Environment:
    """The changes that an environment makes; none without a name."""

    name: str
    document: Document
    """The spec, as its file has it."""
    changes: Mapping[str, Any]

    def list_names(self) -> tuple[str, ...]:
        """Returns the names of all environments of the spec."""
        return list_environments(self.document)

    def find_setting(self, param: str) -> tuple[str, ...]:
        """Returns the names of the environments that set a param, if none is chosen yet."""
        every = self.document.data.get(KEY) if not self.name else None
        return tuple(
            name
            for name, changes in (every.items() if isinstance(every, dict) else ())
            if isinstance(changes, dict) and _sets_param(changes.get("params"), param)
        )

    def apply_to_spec(self, reader: SpecReader) -> SpecReader:
        """Returns a reader of the spec with the changes; reports those that cannot be made."""
        data = {key: value for key, value in self.document.data.items() if key != KEY}
        merge = _Merge(self.document)
        for section, change in self.changes.items():
            source = (KEY, self.name, section)
            if section == "params":
                self._change_params(data, change, merge, reader)
            elif section == "roles":
                self._change_roles(data, merge, reader)
            else:
                merge.apply_key(data, section, change, (), source)
        for path in self._find_unknown_keys():
            model = _find_model(str(path[2]))
            hint = suggest_key(str(path[-1]), model) if model is not None else ""
            reader.add(path, f"unknown key '{path[-1]}'", hint, key=True)
        return replace(reader, document=replace(self.document, data=data, origins=merge.origins))

    def apply_to_include(self, reader: SpecReader) -> SpecReader:
        """Returns a reader of an included file with the changes to its roles."""
        document = reader.document
        if not isinstance(document.data, dict) or "roles" not in self.changes:
            return reader
        data, merge = dict(document.data), _Merge(self.document)
        self._change_roles(data, merge, reader)
        return replace(reader, document=replace(document, data=data, origins=merge.origins))

    def report_unknown_roles(self, reader: SpecReader) -> None:
        """Reports changes to roles that neither the spec nor an included file declares."""
        known = sorted(reader.known.aliases)
        for alias in self.changes.get("roles", {}):
            if alias not in known:
                reader.add(
                    (KEY, self.name, "roles", alias),
                    f"there is no role '{alias}' to change",
                    suggest_name(alias, known) or "declare it under 'roles' of the spec",
                    key=True,
                )

    def list_removed_roles(self) -> Iterator[tuple[str, str]]:
        """Yields each role that is taken away, with a hint for steps that use it."""
        for alias, change in self.changes.get("roles", {}).items():
            if change is None:
                mark = self.document.mark((KEY, self.name, "roles", alias), key=True)
                yield alias, f"the environment '{self.name}' takes it away at {mark}"

    def _change_params(
        self, data: dict[str, Any], changes: Mapping[str, Any], merge: _Merge, reader: SpecReader
    ) -> None:
        declared = data.get("params", {})
        if not isinstance(declared, dict):
            return
        params = data["params"] = dict(declared)
        for name, change in changes.items():
            source = (KEY, self.name, "params", name)
            if name not in params:
                hint = suggest_name(name, params) or "declare it under 'params' of the spec"
                reader.add(source, f"there is no param '{name}' to change", hint, key=True)
            elif isinstance(params[name], dict):
                params[name] = _change_param(params[name], change, name, merge, source, reader)

    def _change_roles(self, data: dict[str, Any], merge: _Merge, reader: SpecReader) -> None:
        declared = data.get("roles")
        if not isinstance(declared, dict):
            return
        reader.known.aliases.update(declared)
        roles = data["roles"] = dict(declared)
        for alias, change in self.changes["roles"].items():
            source: Path = (KEY, self.name, "roles", alias)
            path: Path = ("roles", alias)
            arn: Path = (*path, "arn")
            if alias not in roles:
                continue
            if isinstance(change, dict) and isinstance(roles[alias], str):
                merge.origins[arn] = Origin(reader.document, path)
                roles[alias] = {"arn": roles[alias]}
            if isinstance(change, str) and isinstance(roles[alias], dict):
                merge.origins[arn] = Origin(self.document, source)
                roles[alias] = {**roles[alias], "arn": change}
            else:
                merge.apply_key(roles, alias, change, ("roles",), source)

    def _find_unknown_keys(self) -> Iterator[Path]:
        """Yields keys that are taken away and that no spec has; checks of the spec find others."""
        for section, change in self.changes.items():
            groups = change.items() if section == "roles" else [(None, change)]
            for alias, values in groups:
                path: Path = (KEY, self.name, section, *([alias] if alias else []))
                absent = _list_absent_keys(values)
                model = _find_model(section) if absent else None
                known = list_keys(model) if model is not None else absent
                yield from ((*path, key) for key in absent if key not in known)


@dataclass(frozen=True)
class _Merge:
    """Merges changes into values, and records where they are written."""

    document: Document
    """The document of the changes."""
    origins: dict[Path, Origin] = field(default_factory=dict)

    def apply_key(
        self, values: dict[str, Any], key: str, change: Any, path: Path, source: Path
    ) -> None:
        """Changes one key of a mapping at ``path``; null takes it away."""
        if isinstance(change, dict) and isinstance(values.get(key), dict):
            merged = values[key] = dict(values[key])
            for each, value in change.items():
                self.apply_key(merged, each, value, (*path, key), (*source, each))
            return
        place = (*path, key)
        self.origins[place] = Origin(self.document, source)
        if change is None:
            values.pop(key, None)
        else:
            values[key] = _drop_nulls(change)


def _sets_param(changes: Any, name: str) -> bool:
    change = changes.get(name) if isinstance(changes, dict) else None
    if isinstance(change, dict):
        return any(change.get(key) is not None for key in ("default", "from"))
    return change is not None


def list_environments(document: Document) -> tuple[str, ...]:
    """Returns the names of a spec's environments, without checking them."""
    listed = document.data.get(KEY) if isinstance(document.data, dict) else None
    return tuple(listed) if isinstance(listed, dict) else ()


def select_environment(name: str, reader: SpecReader) -> Environment:
    """Returns the environment of this name; reports what is wrong in the list of environments.

    An empty name selects none of them. Raises UsageError for an unknown name.
    """
    document = reader.document
    _check_environments(reader)
    names = list_environments(document)
    if not name:
        return Environment("", document, {})
    if name not in names:
        file = document.file
        if not names:
            raise UsageError(f"{file}: has no environments: remove --env {name}")
        hint = suggest_name(name, names) or f"known: {', '.join(names)}"
        raise UsageError(f"{file}: there is no environment '{name}' ({hint})")
    return Environment(name, document, dict(_list_valid_changes(document.data[KEY][name])))


def apply_environment(name: str, spec: Document, included: Sequence[Document]) -> list[Document]:
    """Returns a valid spec and the files that it includes, with the values of an environment.

    Raises UsageError for an unknown name.
    """
    from rolerunner.spec.reader import LoadContext, SpecReader  # noqa: PLC0415 - it imports this package's models

    reader = SpecReader(spec, LoadContext())
    environment = select_environment(name, reader)
    readers = [replace(reader, document=each) for each in included]
    changed = [environment.apply_to_spec(reader), *map(environment.apply_to_include, readers)]
    return [each.document for each in changed]


def _list_valid_changes(changes: Any) -> Iterator[tuple[str, Any]]:
    for section, change in changes.items() if isinstance(changes, dict) else ():
        if section in SECTIONS and (section not in _OF_ALIASES or isinstance(change, dict)):
            yield section, change


def _check_environments(reader: SpecReader) -> None:
    listed = reader.document.data.get(KEY, {})
    if not isinstance(listed, dict):
        reader.add((KEY,), f"'{KEY}' must be a mapping of names, not {describe_value(listed)}")
        return
    for name, changes in listed.items():
        try:
            check_name(name)
        except ValueError as error:
            reader.add((KEY, name), str(error), key=True)
        if isinstance(changes, dict):
            _check_sections(name, changes, reader)
        elif changes is not None:
            reader.add(
                (KEY, name),
                f"the environment '{name}' must be a mapping, not {describe_value(changes)}",
            )


def _check_sections(name: str, changes: Mapping[str, Any], reader: SpecReader) -> None:
    for section, change in changes.items():
        path = (KEY, name, section)
        if section not in SECTIONS:
            reader.add(
                path,
                f"an environment cannot change '{section}'",
                ("" if section in SpecFile.model_fields else suggest_name(section, SECTIONS))
                or f"it can change {', '.join(SECTIONS)}",
                key=True,
            )
        elif section in _OF_ALIASES and not isinstance(change, dict):
            reader.add(path, f"'{section}' must be a mapping, not {describe_value(change)}")


def _change_param(
    declared: Mapping[str, Any],
    change: Any,
    name: str,
    merge: _Merge,
    source: Path,
    reader: SpecReader,
) -> dict[str, Any]:
    """Returns the declaration of a param with a new default, or with other keys changed."""
    param, path = dict(declared), ("params", name)
    changes = change if isinstance(change, dict) else {"default": change}
    for key, value in changes.items():
        place = (*source, key) if isinstance(change, dict) else source
        if key in _PARAM_KEYS:
            merge.apply_key(param, key, value, path, place)
        else:
            message = f"an environment cannot change '{key}' of a param"
            hint = suggest_name(key, _PARAM_KEYS) or f"it can change {', '.join(_PARAM_KEYS)}"
            reader.add(place, message, hint, key=True)
    return {key: value for key, value in param.items() if key not in _list_replaced(changes)}


def _list_replaced(changes: Mapping[str, Any]) -> list[str]:
    """Returns the keys of a param that its new default, or its new source, stands in for."""
    replaced: tuple[str, ...] = ()
    if changes.get("from") is not None:
        replaced = ("required", "default")
    elif changes.get("default") is not None:
        replaced = ("required", *_SOURCE_KEYS)
    return [key for key in replaced if key not in changes]


def _drop_nulls(value: Any) -> Any:
    """Returns the value without keys that are null, which have nothing to take away."""
    if not isinstance(value, dict):
        return value
    return {key: _drop_nulls(each) for key, each in value.items() if each is not None}


def _list_absent_keys(values: Any) -> list[str]:
    return [key for key, each in values.items() if each is None] if isinstance(values, dict) else []


def _find_model(section: str) -> Optional[type[BaseModel]]:
    """Returns the model of a section's mapping, or None if its keys are not known here."""
    if section == "glue":
        from rolerunner.spec.glue_fields import GlueFields  # noqa: PLC0415 - takes 2 ms

        return GlueFields
    if section == "state":
        return StateFields
    if section == "telemetry":
        from rolerunner.spec.telemetry_fields import TelemetryFields  # noqa: PLC0415

        return TelemetryFields
    if section == "roles":
        from rolerunner.spec.role_fields import RoleFields  # noqa: PLC0415

        return RoleFields
    return None
