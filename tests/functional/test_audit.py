"""``rolerunner audit``: findings with their positions, ignore comments and exit statuses."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from rolerunner import api
from rolerunner.audit import audit_plan, list_rules
from rolerunner.cli import main
from rolerunner.cli.audit import format_rules
from tests.conftest import CONFIGS, ROOT

CACHE = ROOT / ".cache/sarif"
SCHEMA_PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"
HEAD = "version: 1\nname: t\n"
OWN = "arn:aws:iam::111122223333:role/"
OTHER = "arn:aws:iam::444455556666:role/"
LIST = "steps:\n  - {id: a, action: s3.list, role: r, source: s3://bkt/in/}\n"
STORE = (
    "steps:\n"
    "  - {{id: a, action: s3.write, role: job, target: s3://bkt/out/a, text: x, "
    "encryption: {{type: AES256}}{more}}}\n"
)
ALLOW = (
    "roles:\n"
    "  r:\n"
    "    arn: {arn}\n"
    "    session_policy: {{Statement: [{{Effect: Allow, {statement}}}]}}\n"
)
KEY = "AKIA" + "IOSFODNN7EXAMPLE"
RANDOM = "wJalrXUtnFEMI" + "K7MDENGbPxRfiCYzEXKEY9q"

CASES: dict[str, tuple[str, set[tuple[str, str, int]]]] = {
    "another account": (f"roles:\n  r: {OTHER}x\n{LIST}", {("RR001", "high", 4)}),
    "another account, an external id": (
        f"roles:\n  r: {{arn: '{OTHER}x', external_id: e1}}\n{LIST}",
        set(),
    ),
    "the same account": (f"roles:\n  r: {OWN}x\n{LIST}", set()),
    "through a role of the same account": (
        (
            "roles:\n"
            f"  r: {{arn: '{OTHER}x', via: h}}\n"
            f"  h: {{arn: '{OTHER}h', external_id: e1}}\n"
            f"{LIST}"
        ),
        set(),
    ),
    "through a role of another": (
        f"roles:\n  r: {{arn: '{OTHER}x', via: h}}\n  h: {OWN}h\n{LIST}",
        {("RR001", "high", 4)},
    ),
    "an ARN in the step": (
        f"steps:\n  - id: a\n    action: s3.list\n    role: {OTHER}x\n    source: s3://bkt/in/\n",
        {("RR001", "high", 6)},
    ),
    "a long session": (
        f"roles:\n  r: {OWN}x\n{LIST.replace('/in/', '/in/, timeout: 5m')}",
        {("RR002", "low", 4)},
    ),
    "a session as long as its steps": (
        (
            "roles:\n"
            f"  r: {{arn: '{OWN}x', duration: 15m}}\n"
            f"{LIST.replace('/in/', '/in/, timeout: 5m')}"
        ),
        set(),
    ),
    "different needs": (
        (
            "roles:\n"
            f"  r: {OWN}x\n"
            f"{LIST}  - {{id: c, action: s3.read, role: r, source: s3://bkt/in/x}}\n"
        ),
        {("RR003", "low", 4)},
    ),
    "the same needs": (
        (
            "roles:\n"
            f"  r: {OWN}x\n"
            f"{LIST}  - {{id: c, action: s3.list, role: r, source: s3://bkt/in/}}\n"
        ),
        set(),
    ),
    "different needs, narrowed": (
        (
            "roles:\n"
            f"  r: {{arn: '{OWN}x', session_policy: auto}}\n"
            f"{LIST}  - {{id: c, action: s3.read, role: r, source: s3://bkt/in/x}}\n"
        ),
        set(),
    ),
    "code of one's own": (
        (
            "roles:\n"
            f"  r: {OWN}x\n"
            "steps:\n"
            "  - {id: a, action: python.call, role: r, function: 'os:getcwd'}\n"
        ),
        {("RR003", "low", 4)},
    ),
    "every action": (
        ALLOW.format(arn=OWN + "x", statement="Action: 's3:*', Resource: 'arn:aws:s3:::bkt/*'")
        + LIST,
        {("RR004", "medium", 6)},
    ),
    "every resource": (
        ALLOW.format(arn=OWN + "x", statement="Action: s3:GetObject, Resource: '*'") + LIST,
        {("RR004", "medium", 6)},
    ),
    "all but": (
        ALLOW.format(arn=OWN + "x", statement="NotAction: iam:*, Resource: 'arn:aws:s3:::bkt/*'")
        + LIST,
        {("RR004", "medium", 6)},
    ),
    "a narrow policy": (
        ALLOW.format(arn=OWN + "x", statement="Action: s3:ListBucket, Resource: 'arn:aws:s3:::bkt'")
        + LIST,
        set(),
    ),
    "a broad managed policy": (
        (
            "roles:\n"
            f"  r: {{arn: '{OWN}x', policy_arns: "
            "['arn:aws:iam::aws:policy/AmazonS3FullAccess']}\n"
            f"{LIST}"
        ),
        {("RR005", "medium", 4)},
    ),
    "plain http": (
        f"roles:\n  r:\n    arn: {OWN}x\n    sts_endpoint: http://sts.corp\n{LIST}",
        {("RR006", "medium", 6)},
    ),
    "http on loopback": (
        f"roles:\n  r:\n    arn: {OWN}x\n    sts_endpoint: http://127.0.0.1:4566\n{LIST}",
        set(),
    ),
    "a role that is not used": (
        f"roles:\n  r: {OWN}x\n  z: {OWN}z\n{LIST}",
        {("RR007", "info", 5)},
    ),
    "a role on the way is used": (
        f"roles:\n  r: {{arn: '{OWN}x', via: z}}\n  z: {OWN}z\n{LIST}",
        set(),
    ),
    "a role that is not known": (
        (
            "params: {who: {required: true}}\n"
            "roles:\n"
            "  r: '${{ params.who }}'\n"
            "steps:\n"
            "  - {id: a, action: python.call, function: 'os:getcwd'}\n"
        ),
        {("RR008", "info", 5)},
    ),
    "a whole bucket read": (
        (
            "roles:\n"
            f"  r: {OWN}x\n"
            f"{LIST.replace('list', 'download').replace('/in/', '/, target: /tmp/x/')}"
        ),
        {("RR010", "low", 6)},
    ),
    "a whole bucket written": (
        (
            "steps:\n"
            "  - id: a\n"
            "    action: s3.upload\n"
            "    role: job\n"
            "    source: /tmp/x/\n"
            "    encryption: {type: AES256}\n"
            "    target: s3://bkt/\n"
        ),
        {("RR010", "medium", 9)},
    ),
    "any bucket": (
        (
            "params: {b: {required: true}}\n"
            "steps:\n"
            "  - id: a\n"
            "    action: s3.read\n"
            "    role: job\n"
            "    source: s3://${{ params.b }}/x\n"
        ),
        {("RR011", "medium", 8)},
    ),
    "no encryption": (
        STORE.format(more="").replace(", encryption: {type: AES256}", ""),
        {("RR012", "low", 4)},
    ),
    "an object stored well": (STORE.format(more=", acl: bucket-owner-full-control"), set()),
    "public": (STORE.format(more=", acl: public-read"), {("RR013", "high", 4)}),
    "public by a call": (
        (
            "steps:\n"
            "  - {id: a, action: aws.call, role: job, service: s3, operation: PutObjectAcl, "
            "parameters: {Bucket: bkt, Key: k, ACL: public-read}}\n"
        ),
        {("RR013", "high", 4)},
    ),
    "a bucket emptied": (
        (
            "steps:\n"
            "  - {id: a, action: s3.delete, role: job, source: s3://bkt/, allow_all: true, "
            "max_delete: 10}\n"
        ),
        {("RR014", "high", 4), ("RR010", "medium", 4)},
    ),
    "a million deleted": (
        (
            "steps:\n"
            "  - {id: a, action: s3.delete, role: job, source: s3://bkt/x/, max_delete: 1000000}\n"
        ),
        {("RR015", "medium", 4)},
    ),
    "versions deleted": (
        (
            "steps:\n"
            "  - {id: a, action: s3.delete, role: job, source: s3://bkt/x/, versions: true, "
            "max_delete: 9}\n"
        ),
        {("RR015", "medium", 4)},
    ),
    "a few deleted": (
        "steps:\n  - {id: a, action: s3.delete, role: job, source: s3://bkt/x/, max_delete: 9}\n",
        set(),
    ),
    "a call that deletes": (
        (
            "steps:\n"
            "  - {id: a, action: aws.call, role: job, service: glue, operation: DeleteTable, "
            "parameters: {DatabaseName: d, Name: n}}\n"
        ),
        {("RR016", "medium", 4)},
    ),
    "a call that deletes, guarded": (
        (
            "steps:\n"
            "  - {id: a, action: aws.call, role: job, service: glue, operation: DeleteTable, "
            "parameters: {DatabaseName: d, Name: n},"
            " when: \"${{ run.name == 'x' }}\"}\n"
        ),
        set(),
    ),
    "an expression in a query": (
        (
            "params: {day: {type: string, default: x}}\n"
            "steps:\n"
            "  - {id: a, action: athena.query, role: job, output_location: 's3://bkt/q/',"
            " query: \"SELECT '${{ params.day }}'\"}\n"
        ),
        {("RR019", "low", 5)},
    ),
    "a parameter of a query": (
        (
            "params: {day: {type: string, default: x}}\n"
            "steps:\n"
            "  - {id: a, action: athena.query, role: job, output_location: 's3://bkt/q/',"
            " query: 'SELECT ?', parameters: ['${{ params.day }}']}\n"
        ),
        set(),
    ),
    "a failed write goes on": (STORE.format(more=", on_error: continue"), {("RR017", "medium", 4)}),
    "a failed read goes on": (
        (
            "steps:\n"
            "  - {id: a, action: s3.read, role: job, source: s3://bkt/x, on_error: continue}\n"
        ),
        set(),
    ),
    "one target twice": (
        STORE.format(more="")
        + STORE.format(more="").splitlines()[1].replace("id: a", "id: c")
        + "\n",
        {("RR018", "low", 5)},
    ),
    "objects that leave AWS": (
        (
            "params: {x: {type: string, secret: true, required: true}}\n"
            "steps:\n"
            "  - {id: a, action: sftp.upload, role: job, source: s3://bkt/out/, target: in/, "
            "host: sftp.example.com, user: u, password: '${{ params.x }}', "
            "host_key: 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'}\n"
        ),
        {("RR022", "medium", 5)},
    ),
    "a key id": (f"description: use {KEY}\n{STORE.format(more='')}", {("RR020", "high", 3)}),
    "a password": (
        (
            "steps:\n"
            "  - {id: a, action: python.call, function: 'os:getenv', arguments: {key: x, "
            "default: hunter22}}\n"
        )
        .replace("default:", "password:")
        .replace("os:getenv", "m:f"),
        {("RR020", "high", 4)},
    ),
    "a param's default that looks random": (
        f"params: {{x: {{default: {RANDOM}}}}}\n{STORE.format(more='')}",
        {("RR020", "high", 3)},
    ),
    "a secret for a param": (
        f"params: {{db_password: {{required: true}}}}\n{STORE.format(more='')}",
        {("RR021", "medium", 3)},
    ),
    "a secret's name for a param": (
        f"params: {{secret_name: {{default: prod/db}}}}\n{STORE.format(more='')}",
        set(),
    ),
    "words, paths and ARNs": (
        (
            "description: a passwordless job\n"
            "params: {x: {default: s3://landing/Very/Long/Path-2026/part-0001.csv}, "
            f"y: {{default: {OWN}x}}}}\n"
        )
        + STORE.format(more=""),
        set(),
    ),
}


def find_problems(tmp_path: Path, text: str, account: str = "111122223333") -> list[Any]:
    (tmp_path / "t.yaml").write_text(HEAD + text)
    (tmp_path / "m.py").write_text("def f(context, **values): ...\n")
    return audit_plan(
        api.plan(api.load(tmp_path / "t.yaml", complete=False)),
        api.load_documents(tmp_path / "t.yaml"),
        account,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_rule_finds_what_it_is_for_at_its_place(name: str, tmp_path: Path) -> None:
    text, expected = CASES[name]
    assert {
        (each.rule, each.severity, each.problem.mark.line) for each in find_problems(tmp_path, text)
    } == expected


def test_each_rule_is_seen_to_find_and_to_be_quiet() -> None:
    reported_rules = {rule for _, expected in CASES.values() for rule, _, _ in expected}
    assert reported_rules == {rule.id for rule in list_rules()} - {"RR000"}
    assert all(
        rule.about.endswith(".") and rule.why.endswith(".") and not rule.remedy.endswith(".")
        for rule in list_rules()
    )


def test_without_the_jobs_account_roles_in_several_are_likely_findings(tmp_path: Path) -> None:
    text = (
        "roles:\n"
        f"  r: {OTHER}x\n"
        f"  s: {OWN}y\n"
        f"{LIST}  - {{id: c, action: s3.list, role: s, source: s3://bkt/in/}}\n"
    )
    assert {
        (each.rule, each.severity, each.problem.mark.line)
        for each in find_problems(tmp_path, text, "")
    } == {
        ("RR001", "medium", 4),
        ("RR001", "medium", 5),
    }
    assert find_problems(tmp_path, f"roles:\n  r: {OTHER}x\n{LIST}", "") == []


def test_included_roles_are_looked_at_in_their_own_file(tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text(f"roles:\n  # shared\n  r: {OTHER}x\n")
    (finding,) = find_problems(tmp_path, f"include: [roles.yaml]\n{LIST}")
    assert (Path(finding.problem.mark.file).name, finding.problem.mark.line) == ("roles.yaml", 3)


def test_a_finding_does_not_repeat_the_secret(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(f"{HEAD}description: use {KEY}\n{STORE.format(more='')}")
    for form in ("text", "json", "sarif"):
        completed = CliRunner().invoke(main, ["audit", str(tmp_path / "t.yaml"), "--format", form])
        assert completed.exit_code == 4
        assert "RR020" in completed.output
        assert KEY not in completed.output


COMMENTS = f"""{HEAD}roles:
  # rolerunner: ignore RR001 the account is our own
  # and has been since 2024
  r: {OTHER}x
  s: {OTHER}y # rolerunner: ignore RR001, RR003: ours too
  t: {OTHER}z # rolerunner: ignore RR001
  # rolerunner: ignore RR0O1 a slip of the finger
  u: {OWN}u
steps:
  - {{id: a, action: s3.list, role: r, source: s3://bkt/in/}}
  - {{id: b, action: s3.list, role: s, source: s3://bkt/in/}}
  - {{id: c, action: s3.list, role: t, source: s3://bkt/in/}}
  - {{id: d, action: s3.list, role: u, source: s3://bkt/in/}}
"""


def test_comments_leave_findings_as_they_are_and_idle_ones_are_found(tmp_path: Path) -> None:
    reported_rules = find_problems(tmp_path, COMMENTS.removeprefix(HEAD))
    assert [(each.rule, each.problem.mark.line, each.ignored) for each in reported_rules] == [
        ("RR001", 6, "the account is our own"),
        ("RR001", 7, "ours too"),
        ("RR000", 7, ""),
        ("RR001", 8, ""),
        ("RR000", 8, ""),
        ("RR000", 9, ""),
    ]
    told = [each.problem.message for each in reported_rules if each.rule == "RR000"]
    assert told == [
        "there is no finding of RR003 here",
        "the comment gives no reason, so it ignores nothing",
        "there is no rule RR0O1",
    ]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 0),
        (["--fail-on", "medium"], 4),
        (["--fail-on", "none", "--job-role", OWN + "job"], 0),
        (["--job-role", OWN + "job"], 4),
        (["--min-severity", "high", "--fail-on", "medium"], 0),
        (["--job-role", "glue-job"], 2),
        (["none.yaml"], 2),
    ],
)
def test_the_exit_status_follows_what_was_asked(arguments: list[str], status: int) -> None:
    done = CliRunner().invoke(main, ["audit", str(CONFIGS / "partner_exchange.yaml"), *arguments])
    completed = done.exit_code if done.exit_code != 1 else getattr(done.exception, "exit_status", 1)
    assert completed == status, done.output


def test_the_forms_say_the_same(rolerunner: Any) -> None:
    specs = [str(CONFIGS / name) for name in ("partner_exchange.yaml", "blog_cross_role.yaml")]
    text, as_json, sarif = (
        rolerunner("audit", *specs, "--format", form) for form in ("text", "json", "sarif")
    )
    assert (text.returncode, text.stderr) == (0, "")
    findings = json.loads(as_json.stdout)["findings"]
    results = json.loads(sarif.stdout)["runs"][0]["results"]
    heads = [line for line in text.stdout.splitlines() if line.startswith(str(CONFIGS))]
    assert len(heads) == len(findings) == len(results) > 5
    for head, finding, result in zip(heads, findings, results):
        region = result["locations"][0]["physicalLocation"]["region"]
        assert head.startswith(
            f"{finding['file']}:{finding['line']}:{finding['column']}: "
            f"{finding['severity']} {finding['rule']} "
        )
        assert (result["ruleId"], region["startLine"], region["startColumn"]) == (
            finding["rule"],
            finding["line"],
            finding["column"],
        )
    assert text.stdout.splitlines()[-1] == "2 specs: 3 medium, 5 low"


def test_sarif_names_files_from_the_checkout_and_tells_what_a_comment_ignores(
    rolerunner: Any, tmp_path: Path
) -> None:
    (tmp_path / "a b.yaml").write_text(COMMENTS)
    completed = rolerunner(
        "audit", "a b.yaml", "--format", "sarif", "-o", "out.sarif", "--fail-on", "none"
    )
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")
    run = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(ids[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in run["results"]
    } == {"a%20b.yaml"}
    assert next(result.get("suppressions") for result in run["results"]) == [
        {"kind": "inSource", "justification": "the account is our own"}
    ]


@pytest.mark.slow
def test_sarif_is_what_the_standards_schema_asks_for(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("npm is not on the PATH")
    schema = CACHE / "node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"
    if not schema.exists():
        command = [
            npm,
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(CACHE),
            SCHEMA_PACKAGE,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=240)
    check = jsonschema.Draft4Validator(json.loads(schema.read_text()))
    (tmp_path / "t.yaml").write_text(COMMENTS)
    for spec in (tmp_path / "t.yaml", CONFIGS / "partner_exchange.yaml"):
        completed = CliRunner().invoke(
            main, ["audit", str(spec), "--format", "sarif", "--fail-on", "none"]
        )
        log = json.loads(completed.output)
        assert log["runs"][0]["results"]
        assert [error.message for error in check.iter_errors(log)] == []


def test_the_manuals_table_is_the_one_of_the_code() -> None:
    assert format_rules() in (ROOT / "docs/audit.md").read_text(), "run: rolerunner audit --rules"
