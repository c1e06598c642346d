"""A configuration file of AWS tools with a profile for each role of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.model import Role


def render_profiles(roles: Mapping[str, Role], region: str) -> str:
    """Returns the file. Each profile is named as the role's alias and assumes the role.

    A role without ``via`` is assumed with the keys of the environment. Session tags, policies and
    source identities have no place in such a file, so roles that need them cannot be assumed by it.
    """
    names = {role: name for name, role in roles.items()}
    sections = [
        "\n".join(_list_lines(name, role, names, region))
        for name, role in roles.items()
        if not role.is_job
    ]
    return "\n\n".join([*sections, ""])


def _list_lines(name: str, role: Role, names: Mapping[Role, str], region: str) -> Iterator[str]:
    yield f"[profile {name}]"
    yield f"role_arn = {role.arn}"
    through = names.get(role.via, "") if role.via is not None and not role.via.is_job else ""
    yield f"source_profile = {through}" if through else "credential_source = Environment"
    if role.external_id:
        yield f"external_id = {role.external_id}"
    yield f"region = {role.region or region}"
