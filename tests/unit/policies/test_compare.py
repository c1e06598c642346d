"""Permissions that roles lack or have too much of, and the principals that they trust."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote

import pytest

from rolerunner.errors import UsageError
from rolerunner.iam.policy import Statement
from rolerunner.policies.compare import (
    GrantedPolicies,
    compare_policies,
    parse_granted_policies,
    read_granted_policies,
)
from rolerunner.policies.least_privilege import RolePolicies

if TYPE_CHECKING:
    from pathlib import Path

READER = "arn:aws:iam::111122223333:role/reader"
HUB = "arn:aws:iam::444455556666:role/hub"
A, B = "arn:aws:s3:::b/a", "arn:aws:s3:::b/b"
IN = (("StringLike", "s3:prefix", ("in/", "in/*")),)
GET = Statement(("s3:GetObject",), (A,))


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def compare(
    needed: list[Statement],
    held: Optional[list[dict[str, Any]]],
    *,
    trust: Optional[list[dict[str, Any]]] = None,
    trusted: Optional[list[dict[str, Any]]] = None,
) -> list[tuple[str, str, str, str]]:
    role = RolePolicies(("reader",), READER, tuple(needed), tuple(trust or ()))
    granted = None if trusted is None else tuple(trusted)
    have = {} if held is None else {READER: GrantedPolicies(tuple(held), granted)}
    found = compare_policies([role], have)
    assert {each.role for each in found} <= {"reader"}
    return [(each.kind, each.action, each.resource, each.why) for each in found]


def test_nothing_differs_where_a_role_has_what_it_needs() -> None:
    assert compare([GET], [allow("s3:GetObject", A)]) == []
    assert compare([GET], [allow("S3:getobject", [A])]) == []


def test_a_missing_permission_is_named() -> None:
    assert compare([GET], []) == [("lacks", "s3:GetObject", A, "")]
    listing = Statement(("s3:ListBucket",), ("arn:aws:s3:::b",), IN)
    assert compare([listing], []) == [
        ("lacks", "s3:ListBucket", "arn:aws:s3:::b (s3:prefix: in/, in/*)", "")
    ]


def test_each_action_and_resource_of_a_statement_is_looked_for() -> None:
    needed = [Statement(("s3:GetObject", "s3:PutObject"), (A, B))]
    held = [allow("s3:GetObject", [A, B]), allow("s3:PutObject", A)]
    assert compare(needed, held) == [("lacks", "s3:PutObject", B, "")]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (
            [allow("s3:GetObject", A), {**allow("*", "*"), "Effect": "Deny"}],
            ("lacks", "s3:GetObject", A, "a Deny statement forbids it"),
        ),
        (
            [
                allow("s3:GetObject", A),
                {**allow("*", "*", Condition={"Bool": {"x": "y"}}), "Effect": "Deny"},
            ],
            ("unsure", "s3:GetObject", A, "denied where Bool x: y"),
        ),
        (
            [allow("s3:GetObject", A, Condition={"Bool": {"x": "y"}, "Null": {"z": "w"}})],
            ("unsure", "s3:GetObject", A, "allowed where Bool x: y; Null z: w"),
        ),
    ],
)
def test_a_condition_or_a_deny_leaves_it_open(held: Any, expected: Any) -> None:
    assert expected in compare([GET], held)


def test_one_allow_without_a_condition_is_enough() -> None:
    held = [allow("s3:GetObject", A, Condition={"Bool": {"x": "y"}}), allow("s3:GetObject", A)]
    assert compare([GET], held) == []


def test_a_deny_of_something_else_takes_nothing_away() -> None:
    assert (
        compare([GET], [allow("s3:GetObject", A), {**allow("s3:PutObject", "*"), "Effect": "Deny"}])
        == []
    )


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (allow("s3:PutObject", A), ("extra", "s3:PutObject", A, "")),
        (allow("s3:GetObject", B), ("extra", "s3:GetObject", B, "")),
        (allow("s3:*", A), ("wide", "s3:*", A, f"needed: s3:GetObject on {A}")),
        (allow("s3:GetObject", "*"), ("wide", "s3:GetObject", "*", f"needed: s3:GetObject on {A}")),
        (
            {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
            ("wide", "NotAction", "", "allows all but what it names"),
        ),
        (
            {"Effect": "Allow", "Action": "s3:GetObject", "NotResource": B},
            ("wide", "NotResource", "", "allows all but what it names"),
        ),
    ],
)
def test_what_a_role_has_too_much_of_is_named(
    held: dict[str, Any], expected: tuple[str, str, str, str]
) -> None:
    assert compare([GET], [allow("s3:GetObject", A), held]) == [expected]


def test_an_allow_without_the_needed_condition_is_too_wide() -> None:
    listing = Statement(("s3:ListBucket",), ("arn:aws:s3:::b",), IN)
    bare = allow("s3:ListBucket", "arn:aws:s3:::b")
    assert compare([listing], [bare]) == [
        ("wide", "s3:ListBucket", "arn:aws:s3:::b", "needed only where (s3:prefix: in/, in/*)")
    ]
    given = {**bare, "Condition": {"StringLike": {"s3:prefix": ["in/", "in/*"]}}}
    assert compare([listing], [given]) == []
    without = Statement(("s3:ListBucket",), ("arn:aws:s3:::b",))
    assert compare([listing, without], [bare]) == []


@pytest.mark.parametrize(("count", "told"), [(3, "c on *"), (4, "and 1 more"), (5, "and 2 more")])
def test_three_needed_permissions_are_told_and_the_rest_counted(count: int, told: str) -> None:
    needed = [Statement((f"s3:{name}",), ("*",)) for name in "abcde"[:count]]
    (found,) = compare(needed, [allow("s3:*", "*")])
    assert found[0] == "wide"
    assert found[3].startswith("needed: s3:a on *, s3:b on *, s3:c on *")
    assert found[3].endswith(told)


def test_a_role_that_is_not_there_is_unknown() -> None:
    assert compare([GET], None) == [("unknown", "", READER, "its policies are not known")]
    job = RolePolicies(("job", "own"), "", (GET,), ())
    (found,) = compare_policies([job], {"": GrantedPolicies(())})
    assert (found.role, found.kind, found.resource) == ("job, own", "unknown", "its ARN")
    assert found.why == "set --job-role ARN"
    assert found.as_json()["kind"] == "unknown"


def test_differences_are_in_the_order_of_roles_and_of_kinds() -> None:
    first = RolePolicies(("z",), READER, (GET, Statement(("s3:PutObject",), (A,))), ())
    second = RolePolicies(("a",), HUB, (GET,), ())
    held = [
        allow("s3:*", B),
        allow("s3:Get*", A, Condition={"Bool": {"x": "y"}}),
        allow("iam:*", "*"),
    ]
    found = compare_policies([first, second], {READER: GrantedPolicies(tuple(held))})
    assert [(each.role, each.kind) for each in found] == [
        ("z", "lacks"),
        ("z", "unsure"),
        ("z", "extra"),
        ("z", "extra"),
        ("z", "wide"),
        ("a", "unknown"),
    ]


def trust(principal: Any, action: Any = "sts:AssumeRole", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, **more}


@pytest.mark.parametrize(
    ("principal", "is_trusted"),
    [
        ({"AWS": HUB}, True),
        ({"AWS": [READER, HUB]}, True),
        ({"AWS": "444455556666"}, True),
        ({"AWS": "arn:aws:iam::444455556666:root"}, True),
        ({"AWS": "*"}, True),
        ("*", True),
        ({"Service": "glue.amazonaws.com", "AWS": HUB}, True),
        ({"AWS": READER}, False),
        ({"AWS": "arn:aws:iam::111122223333:root"}, False),
        ({"AWS": "arn:aws-cn:iam::444455556666:root"}, False),
        ({"Service": "glue.amazonaws.com"}, False),
    ],
)
def test_a_principal_is_trusted_by_name_or_account(principal: Any, is_trusted: bool) -> None:
    found = compare([], [], trust=[trust({"AWS": HUB})], trusted=[trust(principal)])
    assert found == ([] if is_trusted else [("lacks", "sts:AssumeRole", f"trust of {HUB}", "")])


def test_a_service_is_trusted_by_its_name_alone() -> None:
    wanted = [trust({"Service": "glue.amazonaws.com"})]
    assert compare([], [], trust=wanted, trusted=wanted) == []
    assert compare([], [], trust=wanted, trusted=[trust({"AWS": "*"})]) == []
    assert compare([], [], trust=wanted, trusted=[trust({"Service": "ec2.amazonaws.com"})])


def test_a_trust_policy_that_is_not_known_is_not_compared() -> None:
    assert compare([], [], trust=[trust({"AWS": HUB})], trusted=None) == []
    assert compare([], [], trust=[trust({"AWS": HUB})], trusted=[]) != []


def test_every_action_of_the_trust_is_looked_for() -> None:
    wanted = [trust({"AWS": HUB}, ["sts:AssumeRole", "sts:TagSession"])]
    assert compare([], [], trust=wanted, trusted=[trust({"AWS": HUB})]) == [
        ("lacks", "sts:TagSession", f"trust of {HUB}", "")
    ]


def test_trust_under_a_condition_that_the_job_does_not_meet_is_unsure() -> None:
    condition = {"StringEquals": {"sts:ExternalId": "x"}}
    conditional = trust({"AWS": HUB}, Condition=condition)
    plain = trust({"AWS": HUB})
    assert compare([], [], trust=[conditional], trusted=[conditional]) == []
    assert compare([], [], trust=[plain], trusted=[conditional]) == [
        (
            "unsure",
            "sts:AssumeRole",
            f"trust of {HUB}",
            "allowed where StringEquals sts:ExternalId: x",
        )
    ]
    assert compare([], [], trust=[plain], trusted=[conditional, plain]) == []


def test_a_deny_is_no_trust() -> None:
    denied = {**trust({"AWS": HUB}), "Effect": "Deny"}
    assert compare([], [], trust=[trust({"AWS": HUB})], trusted=[denied]) != []


def test_documents_are_mappings_or_encoded_text() -> None:
    document = {"Statement": allow("s3:GetObject", "arn:aws:s3:::b/ä")}
    found = parse_granted_policies([document, quote(json.dumps(document))], document)
    assert found.statements == (document["Statement"], document["Statement"])
    assert found.trust == (document["Statement"],)
    assert parse_granted_policies([]).trust is None


@pytest.mark.parametrize(
    "data",
    [
        {READER: [{"Statement": [allow("s3:GetObject", A)]}]},
        {READER: {"Statement": [allow("s3:GetObject", A)]}},
        {
            "roles": [
                {
                    "arn": READER,
                    "permissions": {"Statement": [allow("s3:GetObject", A)]},
                    "trust": {"Statement": []},
                }
            ]
        },
        {
            "RoleDetailList": [
                {
                    "Arn": READER,
                    "AssumeRolePolicyDocument": {"Statement": []},
                    "AttachedManagedPolicies": [{"PolicyArn": "p"}, {"PolicyArn": "other"}],
                }
            ],
            "Policies": [
                {
                    "Arn": "p",
                    "PolicyVersionList": [
                        {"IsDefaultVersion": False, "Document": {"Statement": []}},
                        {
                            "IsDefaultVersion": True,
                            "Document": {"Statement": [allow("s3:GetObject", A)]},
                        },
                    ],
                }
            ],
        },
    ],
    ids=["list", "document", "rolerunner", "aws"],
)
def test_a_file_of_policies_has_one_of_three_forms(data: Any, tmp_path: Path) -> None:
    path = tmp_path / "policies.json"
    path.write_text(json.dumps(data))
    assert read_granted_policies(path)[READER].statements == (allow("s3:GetObject", A),)


@pytest.mark.parametrize("text", ["{", "[]", '{"roles": 1}', '{"roles": [{}]}', '{"x": [1]}'])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "policies.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not the output of 'aws iam get-account"):
        read_granted_policies(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json: cannot be read: No such file"):
        read_granted_policies(tmp_path / "none.json")
