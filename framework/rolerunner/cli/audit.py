"""Implements ``rolerunner audit``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import click

from rolerunner import api
from rolerunner.audit import SEVERITIES, Finding, audit_plan, list_rules
from rolerunner.audit.sarif import build_sarif
from rolerunner.cli.common import (
    ENV,
    PARAM,
    PARAMS_FILE,
    SETTINGS,
    echo,
    expand_glob,
    read_params,
    write_file,
)
from rolerunner.common.wording import format_count
from rolerunner.errors import SpecError, UsageError
from rolerunner.model import RoleArn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.errors import Problem
    from rolerunner.model import Job

EXIT_FINDINGS = 4
_COLOURS = {"high": "red", "medium": "yellow", "low": "cyan", "info": "white"}


def _print_rules(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        echo(format_rules())
        context.exit()


@click.command(context_settings=SETTINGS)
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--job-role",
    metavar="ARN",
    help="The role that the job itself runs as; its account tells which roles are cross-account.",
)
@click.option(
    "--min-severity",
    type=click.Choice(SEVERITIES),
    default="info",
    show_default=True,
    help="Hide findings below this severity.",
)
@click.option(
    "--fail-on",
    type=click.Choice([*SEVERITIES, "none"]),
    default="high",
    show_default=True,
    help="Exit with 4 if there is a finding of at least this severity.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="Output format; sarif is for code scanning.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write to this file instead of standard output."
)
@click.option(
    "--rules",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_rules,
    help="List the rules and exit.",
)
def audit(
    specs: Sequence[str],
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    job_role: Optional[str],
    min_severity: str,
    fail_on: str,
    form: str,
    output: Optional[str],
) -> None:
    """Find security problems in specs: roles, sessions, deletions, public objects, secrets.

    Reads the specs only; no AWS request is sent. Without --env, a spec is audited under each of its
    environments as well, and by itself unless it lacks a param that all of them set.

    \b
    rolerunner audit nightly.yaml --job-role arn:aws:iam::111122223333:role/glue-job
    rolerunner audit 'configs/**/*.yaml' --min-severity medium
    rolerunner audit configs/*.yaml --format sarif -o rolerunner.sarif

    \b
    A comment on the same line, or the line above, suppresses a finding:
    # rolerunner: ignore RR001 both accounts are ours

    Exit status: 0 no finding reaches --fail-on, 2 invalid spec or command line, 4 a finding does.
    """
    given = read_params(params, params_file)
    account = _parse_account(job_role)
    paths = dict.fromkeys(path for spec in specs for path in expand_glob(spec))
    found = [
        finding
        for finding in _collect_findings(paths, given, account, env)
        if _rank_severity(finding.severity) >= _rank_severity(min_severity)
    ]
    _write_findings(found, form, output, len(paths))
    if fail_on != "none" and any(
        not each.ignored and _rank_severity(each.severity) >= _rank_severity(fail_on)
        for each in found
    ):
        sys.exit(EXIT_FINDINGS)


def _parse_account(job_role: Optional[str]) -> str:
    try:
        return RoleArn.parse(job_role).account if job_role else ""
    except ValueError as error:
        raise UsageError(f"--job-role: {error}") from None


def _collect_findings(
    paths: Mapping[str, Any], given: Mapping[str, object], account: str, env: str
) -> list[Finding]:
    """Returns the findings of all specs, each once. Raises SpecError."""
    found: dict[Finding, None] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            for job in _load_environments(path, given, env):
                found.update(dict.fromkeys(_audit_job(path, job, account)))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return list(found)


def _load_environments(path: str, given: Mapping[str, object], env: str) -> list[Job]:
    """Returns the job of a spec and those of its environments, or the one of ``env``.

    A spec is left out by itself if it lacks a param that all its environments set: it never runs.
    """
    own = api.load(path, given, complete=False, env=env)
    names = () if env else own.environments
    jobs = [api.load(path, given, complete=False, env=name) for name in names]
    always_set = set.intersection(*(set(each.params) for each in jobs)) if jobs else set()
    return jobs if always_set - set(own.params) else [own, *jobs]


def _audit_job(path: str, job: Job, account: str) -> list[Finding]:
    documents = api.load_documents(path, env=job.environment)
    return audit_plan(api.plan(job), documents, account)


def _rank_severity(severity: str) -> int:
    return SEVERITIES.index(severity)


def _write_findings(found: Sequence[Finding], form: str, output: Optional[str], specs: int) -> None:
    if form == "text":
        text = "\n".join(
            [
                *(
                    _format_finding(finding, colour=output is None and sys.stdout.isatty())
                    for finding in found
                    if not finding.ignored
                ),
                _format_summary(found, specs),
            ]
        )
    else:
        shown = (
            build_sarif(found, list_rules(), Path.cwd())
            if form == "sarif"
            else {"version": 1, "findings": [_to_json(finding) for finding in found]}
        )
        text = json.dumps(shown, indent=2, ensure_ascii=False)
    if output is None:
        echo(text)
    else:
        write_file(Path(output), (text + "\n"))


def _format_finding(finding: Finding, *, colour: bool) -> str:
    problem = finding.problem
    word = f"{finding.severity} {finding.rule}"
    styled = click.style(word, fg=_COLOURS[finding.severity], bold=True) if colour else word
    head = f"{problem.mark}: {styled} {problem.message}"
    return "\n".join(
        [
            head,
            *([f"    {problem.line.strip()}"] if problem.line.strip() else []),
            *([f"    {problem.hint}"] if problem.hint else []),
            "",
        ]
    )


def _format_summary(found: Sequence[Finding], specs: int) -> str:
    counts = Counter(finding.severity for finding in found if not finding.ignored)
    summary = ", ".join(
        f"{counts[severity]} {severity}" for severity in reversed(SEVERITIES) if counts[severity]
    )
    ignored = sum(bool(finding.ignored) for finding in found)
    return f"{format_count(specs, 'spec')}: {summary or 'no findings'}" + (
        f", {ignored} ignored by comments" if ignored else ""
    )


def _to_json(finding: Finding) -> dict[str, Any]:
    mark = finding.problem.mark
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "file": mark.file,
        "line": mark.line,
        "column": mark.column,
        "message": finding.problem.message,
        "hint": finding.problem.hint,
        **({"ignored": finding.ignored} if finding.ignored else {}),
    }


def format_rules() -> str:
    """Returns the rules as a Markdown table."""
    rows = [
        f"| {rule.id} | {rule.name} | {rule.severity} | {rule.about} {rule.why} | {rule.remedy} |"
        for rule in list_rules()
    ]
    return "\n".join(
        [
            "| rule | name | maximum severity | what it finds and why it matters | remedy |",
            "|---|---|---|---|---|",
            *rows,
        ]
    )
