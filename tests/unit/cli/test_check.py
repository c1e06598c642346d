"""The table of ``rolerunner check`` and its remedies."""

from __future__ import annotations

from rolerunner.cli.check import format_findings
from rolerunner.policies.probe import ProbeResult


def test_a_permission_that_is_missing_has_its_remedy_below_the_table() -> None:
    found = [
        ProbeResult("fetch", "partner", "s3:ListBucket", "box", "yes"),
        ProbeResult("fetch", "partner", "s3:GetObject", "box/*", "no", "grant it\nin both"),
    ]
    assert format_findings(found).splitlines() == [
        "step   role     permission             allowed",
        "fetch  partner  s3:ListBucket on box   yes",
        "fetch  partner  s3:GetObject on box/*  no",
        "",
        "fetch, s3:GetObject: no",
        "  grant it",
        "  in both",
    ]


def test_a_plan_without_permissions_is_a_head_alone() -> None:
    assert format_findings([]) == "step  role  permission  allowed"
