"""Rules on secrets in a spec, or in a run's arguments as plain text."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from rolerunner.audit.finding import RuleMatch, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.audit.subject import AuditSubject
    from rolerunner.spec.document import Path as Place

_FORMATS = {
    "an AWS access key id": re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "a JSON web token": re.compile(
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    ),
    "a URL with a password": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@${}]+:[^\s/@${}]{3,}@"),
}
"""Formats of secrets, as their issuers define them."""
_SECRET_NAME = re.compile(
    r"(?i)(pass(word|wd|phrase)|secret|token|api_?key|access_?key|private_?key|credential|customer_key)"
)
_HARMLESS_NAME = re.compile(
    r"(?i)(secret_?(arn|name|id)|token_?(arn|name|url|endpoint|file)|key_?(id|arn|name|alias))$"
)
_KEY_CHARACTERS = re.compile(r"[A-Za-z0-9+/=_-]{20,}\Z")
_MIN_ENTROPY = 4.3
"""Bits per character: 40 random base64 characters have at least 4.6, words and paths below 4."""
_MIN_LENGTH = 6


@rule(
    "RR020", "secret-in-spec", "high",
    "The spec contains a key, token or password.",
    "Everyone who can read the repository, the bucket of specs or the job's arguments has it.",
    "remove it, revoke it at its issuer, store it in AWS Secrets Manager, and name it with "
    "'from' of a secret param",
)  # fmt: skip
def secret_in_spec(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches formats of issuers, values with a telling name, and random defaults of params."""
    for document, place, text in subject.iter_texts():
        kind = next((kind for kind, pattern in _FORMATS.items() if pattern.search(text)), "")
        if not kind and "${{" not in text and _has_secret_name(place, text):
            kind = f"the value of a secret ('{_find_name(place)}')"
        if not kind and place[-1:] == ("default",) and _is_random(text):
            kind = "random text like a key"
        if kind:
            problem = document.problem(place, f"the spec contains {kind}", secret_in_spec.remedy)
            yield _remove_line(problem), ""


def _remove_line(problem: Any) -> Any:
    """Removes the line, which holds the secret: logs and pull requests show findings."""
    return type(problem)(problem.mark, problem.message, problem.hint)


def _find_name(place: Place) -> str:
    """Returns the name of a value; for a param's default the name of the param."""
    names = [part for part in place if isinstance(part, str)]
    return names[1] if names[:1] == ["params"] and len(names) > 1 else names[-1] if names else ""


def _has_secret_name(place: Place, text: str) -> bool:
    name = _find_name(place)
    is_value = place[:1] != ("params",) or place[-1] == "default"
    return (
        is_value
        and len(text) >= _MIN_LENGTH
        and " " not in text
        and bool(_SECRET_NAME.search(name))
        and not _HARMLESS_NAME.search(name)
    )


def _is_random(text: str) -> bool:
    if not _KEY_CHARACTERS.match(text) or not all(
        re.search(each, text) for each in ("[a-z]", "[A-Z]", "[0-9]")
    ):
        return False
    counts = Counter(text)
    return (
        -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
        >= _MIN_ENTROPY
    )


@rule(
    "RR021", "secret-param", "medium",
    "A param holds a secret.",
    "The arguments of a Glue job are plain text in the console, API responses and CloudTrail.",
    "set 'secret: true', and name its place in AWS Secrets Manager with 'from'",
)  # fmt: skip
def secret_param(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches names of params."""
    for name, declared in (subject.spec.data.get("params") or {}).items():
        if isinstance(declared, dict) and declared.get("secret") is True:
            continue  # it cannot be an argument of a Glue job
        if _SECRET_NAME.search(name) and not _HARMLESS_NAME.search(name):
            yield (
                subject.spec.problem(
                    ("params", name),
                    f"the param '{name}' holds a secret",
                    secret_param.remedy,
                    key=True,
                ),
                "",
            )
