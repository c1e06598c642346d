"""Makes up the tables, workgroups, query results and jobs that the steps of a spec use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rolerunner.model import RoleArn, S3Uri
from rolerunner.plan.partial_values import ANY
from rolerunner.sandbox.world_catalog import (
    SandboxDatabase,
    SandboxJob,
    SandboxQueryResult,
    SandboxTable,
    SandboxWorkgroup,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolerunner.actions.base import Action
    from rolerunner.model import Role

_FOLDER = re.compile(r"(?:\A|/)([A-Za-z]\w*)=[^/]*/")
"""A folder of a partition, as Hive names it."""
_FIELD = re.compile(r"\{(\w+)\}")
_ALL = "*"


@dataclass
class MadeUpCatalog:
    """The parts of the Data Catalog, Athena and Glue that the actions of a spec use."""

    tables: dict[tuple[str, str, str], SandboxTable] = field(default_factory=dict)
    """(account, database, table) -> the table."""
    workgroups: dict[tuple[str, str], SandboxWorkgroup] = field(default_factory=dict)
    results: dict[str, SandboxQueryResult] = field(default_factory=dict)
    jobs: dict[tuple[str, str], SandboxJob] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _prefixes: list[S3Uri] = field(default_factory=list)
    """Prefixes that the steps before name, of which one may hold a table."""

    def add(self, action: Any, roles: Mapping[str, Role], job_role: str) -> None:
        """Adds what an action uses; roles of the job stand for ``job_role``."""
        self._prefixes += list_prefixes(action)
        accounts = {
            name: RoleArn.parse(job_role if role.is_job else role.arn).account
            for name, role in roles.items()
        }
        kind = getattr(action, "kind", "")
        if kind == "glue.run":
            self._add_job(action.job, accounts["role"])
        elif kind == "athena.query":
            self._add_query(action, accounts["role"])
        elif kind == "catalog.partitions":
            self._add_table(action, action.catalog_id or accounts["catalog_role"])

    def list_databases(self) -> list[SandboxDatabase]:
        """Returns the databases of the tables."""
        places = dict.fromkeys((account, name) for account, name, _ in self.tables)
        return [
            SandboxDatabase(
                name=name,
                account=account,
                tables=[
                    table for place, table in self.tables.items() if place[:2] == (account, name)
                ],
            )
            for account, name in places
        ]

    def _add_job(self, name: str, account: str) -> None:
        if ANY not in name and (account, name) not in self.jobs:
            self.jobs[account, name] = SandboxJob(name=name, account=account)
            self.notes.append(f"the runs of the Glue job {name} succeed at once")

    def _add_query(self, action: Any, account: str) -> None:
        name = action.workgroup
        if ANY not in name and (account, name) not in self.workgroups:
            self.workgroups[account, name] = SandboxWorkgroup(name=name, account=account)
        if account not in self.results:
            self.results[account] = SandboxQueryResult(
                query=_ALL, account=account, columns={"sample": "varchar"}, rows=[["sample"]]
            )
            self.notes.append("each query of Athena has one sample row")

    def _add_table(self, action: Any, account: str) -> None:
        place = (account, action.database, action.table)
        if place in self.tables or ANY in "".join(place):
            return
        prefix, keys = self._find_keys(action.layout)
        if not keys:
            self.notes.append(
                f"the table {action.database}.{action.table} is not made: no prefix of the spec"
                " shows its partition keys"
            )
            return
        self.tables[place] = SandboxTable(
            name=action.table,
            location=str(prefix),
            columns={"sample": "string"},
            partition_keys=dict.fromkeys(keys, "string"),
        )
        self.notes.append(
            f"the table {action.database}.{action.table} at {prefix} has the partition keys"
            f" {', '.join(keys)}"
        )

    def _find_keys(self, layout: str) -> tuple[S3Uri, list[str]]:
        """Returns the location of a table and its partition keys, by the layout and prefixes."""
        named = _FIELD.findall(layout)
        for uri in reversed(self._prefixes):
            first = _FOLDER.search(uri.key)
            if named and first is None:
                return S3Uri(uri.bucket, uri.key), named
            if first is not None and not named:
                start = first.start() + (1 if uri.key[first.start()] == "/" else 0)
                return S3Uri(uri.bucket, uri.key[:start]), _FOLDER.findall(_overlap(uri.key))
        return S3Uri("none"), []


def _overlap(key: str) -> str:
    """Returns a key with its slashes doubled, so that each folder has its own."""
    return key.replace("/", "//")


def list_prefixes(action: Action) -> Iterable[S3Uri]:
    """Returns the prefixes that an action reads from and writes to."""
    values = [getattr(action, name, None) for name in ("source", "target")]
    return [each for each in values if isinstance(each, S3Uri) and each.is_prefix]
