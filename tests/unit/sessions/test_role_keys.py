from __future__ import annotations

from typing import Any

import pytest

from rolerunner.model import JOB, Role
from rolerunner.sessions.role_keys import RoleResolver, normalize_role

ARN = "arn:aws:iam::111122223333:role/team/reader"
OWN = "arn:aws:sts::111122223333:assumed-role/reader/session"


class FakeCaller:
    def __init__(self, arn: str) -> None:
        self._arn = arn
        self.known_arn = ""

    def find_arn(self) -> str:
        self.known_arn = self._arn
        return self._arn


def create_resolver(arn: str) -> RoleResolver:
    caller: Any = FakeCaller(arn)
    return RoleResolver(caller)


@pytest.mark.parametrize(
    ("role", "caller", "is_job"),
    [
        (Role(ARN), OWN, True),
        (Role(ARN, account="111122223333"), OWN, True),
        (Role(ARN, account="444455556666"), OWN, False),
        (Role(ARN, policy="{}"), OWN, False),
        (Role(ARN), OWN.replace("reader", "writer"), False),
        (Role(ARN), OWN.replace("111122223333", "444455556666"), False),
        (Role(ARN), "", False),
    ],
)
def test_only_a_plain_role_of_the_caller_is_the_job(role: Role, caller: str, is_job: bool) -> None:
    resolver = create_resolver(caller)
    assert not resolver.resolve_offline(role).is_job, "before STS has been asked"
    assert (resolver.resolve(role) == JOB) is is_job
    assert (resolver.resolve_offline(role) == JOB) is is_job


def test_what_has_no_order_in_aws_is_sorted() -> None:
    one = Role(
        ARN, tags=(("b", "2"), ("a", "1")), policy_arns=("y", "x"), policy='{"b": 1, "a": 2}'
    )
    two = Role(ARN, tags=(("a", "1"), ("b", "2")), policy_arns=("x", "y"), policy='{"a":2,"b":1}')
    assert normalize_role(one) == normalize_role(two)
    assert normalize_role(Role(ARN, via=one)) == normalize_role(Role(ARN, via=two))
    assert normalize_role(Role(ARN, via=JOB)).via is None


def test_a_policy_that_is_no_json_stays() -> None:
    assert normalize_role(Role(ARN, policy="{")).policy == "{"
