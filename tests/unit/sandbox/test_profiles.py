from __future__ import annotations

from rolerunner.model import JOB, Role
from rolerunner.sandbox.profiles import render_profiles

ARN = "arn:aws:iam::111122223333:role/"


def test_a_role_is_assumed_with_the_keys_of_the_environment() -> None:
    reader = Role(f"{ARN}reader", "reader", external_id="ex-1", region="us-east-1")
    assert render_profiles({"job": JOB, "reader": reader}, "eu-west-1") == (
        f"[profile reader]\nrole_arn = {ARN}reader\ncredential_source = Environment\n"
        "external_id = ex-1\nregion = us-east-1\n\n"
    )


def test_a_role_through_another_one_has_that_profile_as_its_source() -> None:
    first = Role(f"{ARN}first", "first")
    second = Role(f"{ARN}second", "second", via=first)
    third = Role(f"{ARN}third", "third", via=JOB)
    written = render_profiles({"first": first, "second": second, "third": third}, "eu-west-1")
    assert "[profile second]\nrole_arn = " + f"{ARN}second\nsource_profile = first\n" in written
    assert written.count("credential_source = Environment") == 2
