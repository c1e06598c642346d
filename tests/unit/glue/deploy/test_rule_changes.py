"""Rules that a deployment puts and deletes, with their targets."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest

from rolerunner.errors import StepError
from rolerunner.glue.deploy.rule_changes import delete_rules, plan_changes, put_rules
from rolerunner.glue.deploy.rules import Rule, describe_pattern, plan_rules
from rolerunner.model import GlueSettings, Job, Notification

TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"


def make_rule(*on: Any) -> Rule:
    told = Notification(on or ("failed",), "sns", TOPIC)
    job = Job("nightly", (), notify=(told,))
    found = plan_rules(job, GlueSettings(role=""), "nightly", "eu-west-1", "111122223333")
    (rule,) = found.rules
    return rule


RULE = make_rule()


def describe(rule: Rule, **more: Any) -> tuple[dict[str, Any], list[Any]]:
    """Returns a rule and its targets as EventBridge describes them."""
    described = {
        "Name": rule.name,
        "State": "ENABLED",
        "Description": rule.description,
        "EventPattern": json.dumps(rule.pattern),
        **more,
    }
    return described, [dict(rule.target)]


class FakeAccount:
    """An account with rules; ``failed`` are entries that EventBridge does not take."""

    def __init__(self, *rules: Any, failed: Any = (), error: Optional[StepError] = None) -> None:
        self.rules = {rule["Name"]: (rule, targets) for rule, targets in rules}
        self.failed = list(failed)
        self.error = error
        self.calls: list[tuple[str, Any]] = []

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        assert service == "events"
        self.calls.append((operation, parameters))
        if self.error is not None:
            raise self.error
        if operation.startswith("put") or operation in ("remove_targets", "delete_rule"):
            return {"FailedEntries": self.failed}
        name = parameters.get("Name") or parameters["Rule"]
        if name not in self.rules:
            raise StepError("there is none", type="ResourceNotFoundException")
        rule, targets = self.rules[name]
        return rule if operation == "describe_rule" else {"Targets": targets}

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]


def plan(account: FakeAccount, wanted: Any = (), last: Any = ()) -> Any:
    found: Any = account
    return plan_changes(found, wanted, last)


def test_without_rules_nothing_is_asked() -> None:
    account = FakeAccount()
    found = plan(account)
    assert (found.put, found.delete, found.changes, account.calls) == ((), (), (), [])


def test_a_new_rule_is_put_with_its_target() -> None:
    account = FakeAccount()
    found = plan(account, [RULE])
    (change,) = found.changes
    assert (found.put, change.before) == ((RULE,), None)
    assert change.after == f"FAILED, TIMEOUT to {TOPIC}"
    put_rules(account, found.put)  # type: ignore[arg-type]
    assert account.operations[-2:] == ["put_rule", "put_targets"]
    assert account.calls[-2][1]["EventPattern"] == describe_pattern(RULE.pattern)
    assert account.calls[-1][1] == {"Rule": RULE.name, "Targets": [dict(RULE.target)]}


def test_the_same_rule_is_no_change_however_its_pattern_is_written() -> None:
    rule, targets = describe(RULE)
    rule["EventPattern"] = json.dumps(RULE.pattern, indent=2)
    assert plan(FakeAccount((rule, targets)), [RULE], [RULE]).changes == ()


@pytest.mark.parametrize(
    ("there", "fields"),
    [
        (describe(RULE, State="DISABLED"), ["State"]),
        (describe(RULE, Description="x"), ["Description"]),
        (describe(make_rule("failed", "stopped")), [""]),
        ((describe(RULE)[0], []), [""]),
        (describe(RULE, EventPattern="no JSON"), [""]),
        (describe(RULE, EventPattern=""), [""]),
    ],
    ids=["disabled", "description", "other ends", "no target", "damaged", "no pattern"],
)
def test_a_rule_that_was_changed_is_put_again(there: Any, fields: list[str]) -> None:
    rule, targets = there
    found = plan(FakeAccount(({**rule, "Name": RULE.name}, targets)), [RULE])
    assert found.put == (RULE,)
    expected = [f"Rules.{RULE.name}" + (f".{each}" if each else "") for each in fields]
    assert [change.field for change in found.changes] == expected


def test_a_rule_of_the_last_deployment_is_deleted_with_its_targets() -> None:
    account = FakeAccount(describe(RULE))
    found = plan(account, [], [RULE])
    assert (found.put, found.delete) == ((), (RULE,))
    (change,) = found.changes
    assert (change.before, change.after) == (f"FAILED, TIMEOUT to {TOPIC}", None)
    account.calls.clear()
    delete_rules(account, found.delete)  # type: ignore[arg-type]
    assert account.operations == ["list_targets_by_rule", "remove_targets", "delete_rule"]


def test_a_rule_without_targets_and_one_that_is_gone_are_deleted() -> None:
    account = FakeAccount((describe(RULE)[0], []))
    delete_rules(account, [RULE])  # type: ignore[arg-type]
    assert account.operations == ["list_targets_by_rule", "delete_rule"]
    account = FakeAccount()
    assert plan(account, [], [RULE]).delete == ()
    account.calls.clear()
    delete_rules(account, [RULE])  # type: ignore[arg-type]
    assert account.operations == ["list_targets_by_rule"]


@pytest.mark.parametrize(
    ("failed", "text", "kind"),
    [
        ({"ErrorCode": "E", "ErrorMessage": "not allowed"}, "not allowed", "E"),
        ({"ErrorCode": "E"}, "E", "E"),
        ({}, "None", "ServiceFailed"),
    ],
)
def test_a_target_that_is_not_taken_is_an_error(failed: Any, text: str, kind: str) -> None:
    account: Any = FakeAccount(describe(RULE), failed=[failed])
    with pytest.raises(StepError) as raised:
        put_rules(account, [RULE])
    message = f"the rule {RULE.name} did not take its target {TOPIC}: {text}"
    assert (raised.value.message, raised.value.type) == (message, kind)
    with pytest.raises(StepError):
        delete_rules(account, [RULE])
    assert account.operations[-1] == "remove_targets", "the rule is still there"


def test_a_refused_request_is_raised() -> None:
    account = FakeAccount(error=StepError("not allowed", type="AccessDenied"))
    with pytest.raises(StepError, match="not allowed"):
        plan(account, [RULE])
