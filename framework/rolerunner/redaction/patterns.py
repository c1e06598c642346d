"""Masks secrets that nobody registered, by their form or by the name before them."""

from __future__ import annotations

import functools
import re

from rolerunner.redaction.secrets import MASK

_SEPARATOR = r"(?:\\*[\"'])?\s*(?:[:=]|%3[AaDd])\s*"
_PAIRS = (
    r"(?P<name>(?:secret[_-]?access[_-]?key|secret[_-]?key|client[_-]?secret"
    r"|secret[_-]?(?:string|binary)|api[_-]?key|private[_-]?key"
    r"|pass(?:word|wd|phrase)|signature|\bsig(?==)|\bsecret(?=(?:\\*[\"'])\s*[:=]|=)"
    r"|(?<!next)(?<!next_)(?<!next-)(?<!page)(?<!page_)(?<!client)(?<!request)(?<!sequence)"
    r"(?<!pagination)(?<!continuation)(?<!continuation-)(?<!continuation )(?<!lock)(?<!change)"
    r"(?<!update)(?<!creation)(?<!conditional)"
    r"token)" + _SEPARATOR + r")(?P<quote>\\*[\"'])?"
    r"(?P<value>(?!\$\{\{|\[redacted\])"
    r"(?(quote)(?:(?!(?P=quote))(?:\\.|.))+|[^\s\"'\\,&<>;]{8,}))"
)
_FORMS = (
    r"(?P<keep><(?:SecretAccessKey|SessionToken|Password|SecretKey|AuthToken|Token)>)[^<]+"
    r"|(?P<scheme>\b(?:Bearer|Basic)\s+)(?!\[redacted\])"
    r"(?=[A-Za-z0-9+/._~=-]*[0-9A-Z+/._~=-])[A-Za-z0-9+/._~=-]{16,}"
    r"|(?P<user>://[^\s/:@\"']{0,200}:)(?!\[redacted\]|\$\{\{)[^\s/@\"']{1,500}(?=@)"
    r"|\b(?:ASIA|AKIA)[A-Z0-9]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz|AQoDYXdz)[A-Za-z0-9+/=_%-]{40,}"
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----|\Z)"
)
_PAIR_WORDS = (
    "secret",
    "token",
    "pass",
    "sig",
    "apikey",
    "api_key",
    "api-key",
    "privatekey",
    "private_key",
    "private-key",
)
_FORM_WORDS = (
    "akia",
    "asia",
    "eyj",
    "private key",
    "bearer",
    "basic",
    "iqojb3jp",
    "fwogzxiv",
    "fqogzxiv",
    "aqodyxdz",
    "<",
)


def mask_patterns(text: str) -> str:
    """Returns the text with keys, tokens, signatures and named secrets masked."""
    lower = text.lower()
    if any(word in lower for word in _PAIR_WORDS):
        text = _compile(_PAIRS).sub(
            lambda match: match["name"] + (match["quote"] or "") + MASK, text
        )
    if ("@" in text and "://" in text) or any(word in lower for word in _FORM_WORDS):
        text = _compile(_FORMS).sub(_mask_form, text)
    return text


@functools.cache
def _compile(pattern: str) -> re.Pattern[str]:
    """Compiles a pattern when it is first used, which takes some milliseconds."""
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


def _mask_pair(match: re.Match[str]) -> str:
    return match["name"] + (match["quote"] or "") + MASK


def _mask_form(match: re.Match[str]) -> str:
    return (match["keep"] or match["scheme"] or match["user"] or "") + MASK
