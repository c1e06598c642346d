"""Parses the sections of a spec that depend on its params and roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Notification, StateLocation, Telemetry
from rolerunner.spec.expressions import Template
from rolerunner.spec.schema import StateFields
from rolerunner.spec.steps import parse_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolerunner.model import SecretSource, Step
    from rolerunner.spec.action_schema import ActionSchema
    from rolerunner.spec.glue_fields import GlueFields
    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.roles import Roles
    from rolerunner.spec.schema import ParamFields, SpecFile


@dataclass(frozen=True)
class Sections:
    """The parts of a spec that depend on its params and roles."""

    sources: Mapping[str, SecretSource]
    """The sources of secret params, by param."""
    state: Optional[StateLocation]
    notify: tuple[Notification, ...]
    telemetry: Optional[Telemetry]
    glue: Optional[GlueFields]
    steps: Sequence[Step]

    def list_undecided(self, top: SpecFile) -> Iterator[str]:
        """Yields what depends on params that have no value."""
        if top.state is not None and self.state is None:
            yield "state"
        for name, fields in top.params.items():
            if fields.from_ is not None and name not in self.sources:
                yield f"'from' of {name}"
        if len(self.notify) < len(top.notify or ()):
            yield "notify"
        if self.telemetry is not None and self.telemetry.is_partial:
            yield "telemetry"


def parse_sections(
    top: SpecFile, kinds: Mapping[str, type[ActionSchema]], roles: Roles, reader: SpecReader
) -> Sections:
    """Returns the parts of a spec, which are usable only if the reader has no problems."""
    return Sections(
        parse_secret_fields(top.params, roles, reader),
        _parse_state(top.state, roles, reader),
        parse_notify(top.notify, roles, reader),
        _parse_telemetry(top.telemetry, reader),
        _parse_glue(top, reader),
        parse_steps(top.steps, kinds, roles, top.defaults, reader) if top.steps != [None] else [],
    )


def parse_secret_fields(
    params: Mapping[str, ParamFields], roles: Roles, reader: SpecReader
) -> dict[str, SecretSource]:
    """Returns the sources of the params that are fetched, by param."""
    if all(each.from_ is each.role is each.kms_key is None for each in params.values()):
        return {}
    from rolerunner.spec.secret_sources import parse_secret_sources  # noqa: PLC0415 - many specs fetch none

    return parse_secret_sources(params, roles, reader)


def _parse_state(state_fields: Any, roles: Roles, reader: SpecReader) -> Optional[StateLocation]:
    """Returns the place of the state; None if there is none, or if it is wrong or not known."""
    if state_fields is None:
        return None
    if not isinstance(state_fields, dict):
        reader.add(("state",), "'state' must be a mapping with 'location'")
        return None
    read = reader.validate_model(
        StateFields,
        reader.fill_known(
            reader.parse_templates(state_fields, ("state",), ("params",)), ("state",)
        ),
        ("state",),
    )
    if read is None:
        return None
    if isinstance(read.role, str):  # not a template, which is a mistake or waits for params
        roles.check(read.role, ("state", "role"), reader)
    if any(isinstance(value, Template) for value in vars(read).values()):
        return None
    return StateLocation(
        read.location, None if read.role is None else roles.find(read.role), read.stale_after
    )


def parse_notify(value: Any, roles: Roles, reader: SpecReader) -> tuple[Notification, ...]:
    """Returns the targets of ``notify`` that have no mistakes and depend on known params only."""
    if value is None:
        return ()
    from rolerunner.spec.notify_fields import parse_notifications  # noqa: PLC0415 - many specs have no such section

    return parse_notifications(value, roles, reader)


def _parse_telemetry(value: Any, reader: SpecReader) -> Optional[Telemetry]:
    """Returns what is reported; None if it is wrong."""
    if value is None:
        return Telemetry()
    from rolerunner.spec.telemetry_fields import parse_telemetry  # noqa: PLC0415 - many specs have no such section

    return parse_telemetry(value, reader)


def _parse_glue(top: SpecFile, reader: SpecReader) -> Optional[GlueFields]:
    if top.glue is None:
        return None
    from rolerunner.spec.glue_section import read_glue  # noqa: PLC0415 - takes 2 ms, and many specs have no such section

    return read_glue(top.glue, top.params, top.steps, reader)
