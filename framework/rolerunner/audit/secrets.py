"""Rules on secrets that stand in a spec, or that a run is given in clear."""

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

_SURE = {
    "an AWS access key id": re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "a JSON web token": re.compile(
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    ),
    "a URL with a password": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@${}]+:[^\s/@${}]{3,}@"),
}
"""What a secret of these kinds looks like, by its issuer's own form."""
_TELLING = re.compile(
    r"(?i)(pass(word|wd|phrase)|secret|token|api_?key|access_?key|private_?key|credential|customer_key)"
)
_NOT_SECRET = re.compile(
    r"(?i)(secret_?(arn|name|id)|token_?(arn|name|url|endpoint|file)|key_?(id|arn|name|alias))$"
)
_LIKE_A_KEY = re.compile(r"[A-Za-z0-9+/=_-]{20,}\Z")
_ENTROPY = 4.3
"""Bits a character: 40 random base64 characters have 4.6 or more, words and paths below 4."""
_NAMED_LEAST = 6


@rule(
    "RR020", "secret-in-spec", "high",
    "A key, token or password stands in the spec.",
    "Whoever may read the repository, the bucket of specs or the job's arguments has it.",
    "take it out, make it void at its issuer, and let the step read it from AWS Secrets Manager (aws.call, or in your function)",
)  # fmt: skip
def secret_in_spec(subject: AuditSubject) -> Iterator[RuleMatch]:
    """By the issuer's form; under a telling name; or random to look at where a param's default is."""
    for document, place, text in subject.texts():
        kind = next((kind for kind, pattern in _SURE.items() if pattern.search(text)), "")
        if not kind and "${{" not in text and _named_like_a_secret(place, text):
            kind = f"the value of a secret ('{_name(place)}')"
        if not kind and place[-1:] == ("default",) and _looks_random(text):
            kind = "a random text like a key"
        if kind:
            problem = document.problem(place, f"{kind} stands in the spec", secret_in_spec.remedy)
            yield _without_the_line(problem), ""


def _without_the_line(problem: Any) -> Any:
    """A finding is read in logs and pull requests: it does not repeat the secret."""
    return type(problem)(problem.mark, problem.message, problem.hint)


def _name(place: Place) -> str:
    """The name that a value goes by: of a param its own, and not 'default'."""
    names = [part for part in place if isinstance(part, str)]
    return names[1] if names[:1] == ["params"] and len(names) > 1 else names[-1] if names else ""


def _named_like_a_secret(place: Place, text: str) -> bool:
    name = _name(place)
    is_value = place[:1] != ("params",) or place[-1] == "default"
    return (
        is_value
        and len(text) >= _NAMED_LEAST
        and " " not in text
        and bool(_TELLING.search(name))
        and not _NOT_SECRET.search(name)
    )


def _looks_random(text: str) -> bool:
    if not _LIKE_A_KEY.match(text) or not all(
        re.search(each, text) for each in ("[a-z]", "[A-Z]", "[0-9]")
    ):
        return False
    counts = Counter(text)
    return (
        -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
        >= _ENTROPY
    )


@rule(
    "RR021", "secret-param", "medium",
    "A param takes a secret.",
    "A Glue job's arguments stand in clear in the console, in the API's answers and in CloudTrail.",
    "give the name of a secret of AWS Secrets Manager instead, and read it in the step that needs it",
)  # fmt: skip
def secret_param(subject: AuditSubject) -> Iterator[RuleMatch]:
    """By the param's name."""
    for name, declared in (subject.spec.data.get("params") or {}).items():
        if isinstance(declared, dict) and declared.get("secret") is True:
            continue  # it cannot be an argument of a Glue job
        if _TELLING.search(name) and not _NOT_SECRET.search(name):
            yield (
                subject.spec.problem(
                    ("params", name),
                    f"the param '{name}' takes a secret",
                    secret_param.remedy,
                    key=True,
                ),
                "",
            )
