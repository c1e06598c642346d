"""The one redaction that stands in front of everything that is shown or stored.

Secrets in use are found by their text and by its usual encodings; the others by their look (a presigned URL's signature,
a private key) and by the name they stand under (``SecretAccessKey``, ``password``).
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import shlex
import sys
import threading
import traceback
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from rolerunner.redaction import secrets
from rolerunner.redaction.secrets import MASK, Secret, SecretValue, register_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIN_SECRET_LENGTH = 4
"""A shorter secret is masked only where it is the whole value: replaced inside other texts it would garble them."""
_MIN_LINE = 8
"""A line of a secret of many lines is looked for by itself from this length on."""
_GRAM, _STRIDE = 8, 9
"""Texts are sampled by substrings of this length, so far apart: one of them lies in the first characters of each form that is there."""
_LONG = _GRAM + _STRIDE - 1
_MAX_ENCODED = 32 << 10
"""Characters of a secret that is looked for in all its forms: whole files are looked for as they are, and as JSON."""
_MIN_CUT = 12
"""A secret that was shortened with '...' is recognised by this many characters."""

# names

_NAMES = frozenset({
    "authorization", "apikey", "credentialstring", "passphrase", "password", "passwd", "privatekey", "proxyauthorization", "pwd", "sassignature",
    "secret", "secretaccesskey", "secretbinary", "secretkey", "secretstring", "setcookie", "sharedkey", "signature", "xamzsignature",
})  # fmt: skip
_NAME_ENDINGS = (
    "password",
    "passwd",
    "passphrase",
    "secretaccesskey",
    "secretkey",
    "clientsecret",
    "appsecret",
    "apikey",
    "privatekey",
    "token",
)
_NO_SECRET_TOKENS = (
    "next", "nextpage", "continuation", "page", "paging", "pagination", "client", "clientrequest", "request", "idempotency", "sequence", "change",
    "lock", "version", "start", "starting", "marker", "resume", "scroll", "sync", "max", "min", "eos", "bos", "pad", "unk",
)  # fmt: skip
"""What stands before 'token' where that is a place in a list, a version or a unit of text."""


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Returns True if a value under this name is a secret, as with ``SecretAccessKey`` or ``db_password``."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain.endswith("token"):
        return not plain[: -len("token")].endswith(_NO_SECRET_TOKENS)
    return plain in _NAMES or plain.endswith(_NAME_ENDINGS)


# encodings of a known secret


def list_encoded_forms(text: str) -> list[str]:
    """The forms in which a secret may show up: as it is, escaped, quoted, in base64 at each alignment, in hex."""
    encode = _encoded if len(text) <= _MAX_ENCODED else _escaped_json
    forms = dict.fromkeys(form for plain in _plain_forms(text) for form in encode(plain))
    return [form for form in forms if len(form) >= MIN_SECRET_LENGTH]


def _plain_forms(text: str) -> Iterator[str]:
    """The secret, and of one with several lines each line: logs and terminals print them one by one."""
    yield text
    stripped = text.strip()
    if stripped != text:
        yield stripped
    lines = stripped.splitlines()
    if len(lines) > 1:
        yield from (
            line.strip()
            for line in lines
            if len(line.strip()) >= _MIN_LINE and not line.startswith("-----")
        )


def _encoded(text: str) -> Iterator[str]:
    data = text.encode("utf-8", "surrogatepass")
    yield text
    yield from _escaped(text)
    for safe in ("", "/"):
        yield from _percent(quote(data, safe=safe))
    yield from _percent(quote_plus(data))
    for alignment in range(3):
        encoded = _base64_core(data, alignment)
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")
        yield from _percent(quote(encoded, safe=""))
    yield data.hex()
    yield data.hex().upper()


def _escaped_json(text: str) -> Iterator[str]:
    yield text
    yield json.dumps(text)[1:-1]


def _escaped(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield once.replace("/", "\\/")
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]
        yield re.sub("[<>&']", lambda found: f"\\u{ord(found.group()):04x}", once)
    yield repr(text)[1:-1]
    yield repr(text + "'")[1:-2]  # as repr writes it between double quotes, or with a quote escaped
    yield ascii(text)[1:-1]
    yield repr(text.encode("utf-8", "surrogatepass"))[2:-1]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    yield html.escape(text).replace("&#x27;", "&apos;")
    yield re.sub(
        "[\t\n\r]",
        lambda found: f"&#{ord(found.group())};",
        html.escape(text, quote=False).replace('"', "&quot;"),
    )
    yield shlex.quote(text).strip("'")
    yield text.replace("'", "'\\''")
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)


def _percent(quoted: str) -> Iterator[str]:
    yield quoted
    yield re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), quoted)


def _base64_core(data: bytes, alignment: int) -> str:
    """The characters that ``data`` alone decides where it stands ``alignment`` bytes after a group's start."""
    encoded = base64.b64encode(b"\0" * alignment + data).decode().rstrip("=")
    first = (0, 2, 3)[alignment]
    shared = (alignment + len(data)) % 3 != 0
    return encoded[first : -1 if shared else None]


class _Index:
    """Forms of the secrets in use, found in a text without a search for each.

    A form of 16 characters and more has one of its first substrings at a sampled place of every text that holds it;
    shorter ones are searched for one by one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._known: set[str] = set()
        self._grams: dict[str, list[str]] = {}
        self._short: dict[str, None] = {}

    def rebuild(self) -> None:
        """Hold the secrets in use and no others."""
        with self._lock:
            self._clear()
            for text in secrets.list_secrets():
                self._add(text)

    def update(self) -> None:
        """Take in what was registered since; forget what is no longer in use once that is most of it."""
        if not secrets.has_new_secrets():
            return
        with self._lock:
            new = secrets.take_new_secrets()
            if len(self._known) > 2 * secrets.count_secrets() + 64:
                self._clear()
                new = list(secrets.list_secrets())
            for text in new:
                if text not in self._known:
                    self._add(text)

    def _add(self, text: str) -> None:
        self._known.add(text)
        for form in list_encoded_forms(text) if len(text) >= MIN_SECRET_LENGTH else ():
            if len(form) < _LONG:
                self._short[form] = None
                continue
            for start in range(_STRIDE):
                self._grams.setdefault(form[start : start + _GRAM], []).append(form)

    def is_whole(self, text: str) -> bool:
        """Returns True if the text is a secret and nothing else."""
        return text in self._known

    def mask(self, text: str) -> str:
        """The text with each form masked, the longest first."""
        found = {form for form in list(self._short) if form in text}
        if self._grams and len(text) >= _GRAM:
            hits = {
                form
                for start in range(0, len(text) - _GRAM + 1, _STRIDE)
                for form in self._grams.get(text[start : start + _GRAM], ())
            }
            found |= hits
        for form in sorted(found, key=len, reverse=True):
            text = text.replace(form, MASK) if form in text else _mask_cut(text, form)
        return text


def _mask_cut(text: str, form: str) -> str:
    """The text with a form masked that was shortened: cut off at the end, or with '...' in it."""
    low, high = _MIN_CUT, len(form) - 1
    if form[:low] not in text:
        return text
    while low < high:  # the longest beginning of the form that is there
        middle = (low + high + 1) // 2
        low, high = (middle, high) if form[:middle] in text else (low, middle - 1)
    start = text.find(form[:low])
    after = text[start + low :]
    dots = next((dots for dots in ("...", "…") if after.startswith(dots)), "")
    if after and not dots:
        return text
    rest = after[len(dots) :]
    end = next(
        (
            length
            for length in range(min(len(rest), len(form)), MIN_SECRET_LENGTH, -1)
            if form.endswith(rest[:length])
        ),
        0,
    )
    return text[:start] + MASK + rest[end:]


_INDEX = _Index()


def forget_unused_secrets() -> None:
    """Forget secrets that are no longer in use."""
    _INDEX.rebuild()


# secrets that nobody registered, by their look

_SEPARATOR = r"(?:\\*[\"'])?\s*(?:[:=]|%3[AaDd])\s*"
_PAIRS = re.compile(
    r"(?P<name>(?:secret[_-]?access[_-]?key|secret[_-]?key|client[_-]?secret|secret[_-]?(?:string|binary)|api[_-]?key|private[_-]?key"
    r"|pass(?:word|wd|phrase)|signature|\bsig(?==)|\bsecret(?=(?:\\*[\"'])\s*[:=]|=)"
    r"|(?<!next)(?<!next_)(?<!next-)(?<!page)(?<!page_)(?<!client)(?<!request)(?<!sequence)(?<!pagination)(?<!continuation)(?<!continuation-)"
    r"(?<!continuation )(?<!lock)(?<!change)token)" + _SEPARATOR + r")(?P<quote>\\*[\"'])?"
    r"(?P<value>(?!\$\{\{|\[redacted\])(?(quote)(?:(?!(?P=quote))(?:\\.|.))+|[^\s\"'\\,&<>;]{8,}))",
    re.IGNORECASE | re.DOTALL,
)
_LOOKS = re.compile(
    r"(?P<keep><(?:SecretAccessKey|SessionToken|Password|SecretKey|AuthToken|Token)>)[^<]+"
    r"|(?P<scheme>\b(?:Bearer|Basic)\s+)(?!\[redacted\])(?=[A-Za-z0-9+/._~=-]*[0-9A-Z+/._~=-])[A-Za-z0-9+/._~=-]{16,}"
    r"|(?P<user>://[^\s/:@\"']{0,200}:)(?!\[redacted\]|\$\{\{)[^\s/@\"']{1,500}(?=@)"
    r"|\b(?:ASIA|AKIA)[A-Z0-9]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz|AQoDYXdz)[A-Za-z0-9+/=_%-]{40,}"
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----|\Z)",
    re.IGNORECASE | re.DOTALL,
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
_LOOK_WORDS = (
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


def redact_text(text: str) -> str:
    """The text without keys, tokens, signatures and secret values."""
    _INDEX.update()
    if _INDEX.is_whole(text):
        return MASK
    text = _INDEX.mask(str(text))
    lower = text.lower()
    if any(word in lower for word in _PAIR_WORDS):
        text = _PAIRS.sub(lambda found: found["name"] + (found["quote"] or "") + MASK, text)
    if ("@" in text and "://" in text) or any(word in lower for word in _LOOK_WORDS):
        text = _LOOKS.sub(
            lambda found: (found["keep"] or found["scheme"] or found["user"] or "") + MASK, text
        )
    return text


def is_known_secret(text: str) -> bool:
    """Returns True if the text is, or holds, a secret in use."""
    _INDEX.update()
    return _INDEX.is_whole(text) or _INDEX.mask(text) != text


def redact(value: Any) -> Any:
    """A value of plain kinds without secrets; other objects become their text, sets and tuples lists."""
    if isinstance(value, str):
        return MASK if isinstance(value, Secret) and value else redact_text(value)
    return _converted(value, _redacted_leaf, redact_text)


def _redacted_leaf(value: Any, *, is_secret: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if (is_secret and value and "${{" not in value) or (isinstance(value, Secret) and value):
            return MASK
        return redact_text(value)
    if isinstance(value, (int, float)):
        return MASK if is_secret or _INDEX.is_whole(str(value)) else value
    if isinstance(value, (bytes, bytearray)):
        return MASK if is_secret else redact_text(value.decode("utf-8", "backslashreplace"))
    return redact_text(str(value))  # an object's own text may hold anything


def seal_secrets(value: Any, *, whole: bool = False) -> Any:
    """A value with each text that stands under the name of a secret as a secret value; with ``whole`` every text and number."""
    return _converted(value, _sealed_leaf, str, is_secret=whole)


def seal_outputs(outputs: Mapping[str, Any], declared: Collection[str]) -> dict[str, Any]:
    """A step's outputs with secrets as secret values: those that ``declared`` names, and what stands under the name of one."""
    sealed: dict[str, Any] = seal_secrets(dict(outputs))
    return {
        **sealed,
        **{name: seal_secrets(outputs[name], whole=True) for name in declared if name in outputs},
    }


def _sealed_leaf(value: Any, *, is_secret: bool) -> Any:
    if isinstance(value, str):
        if is_secret and value:
            return register_secret(value)
        # a text that holds a known secret is one as a whole; nothing has to be looked for besides what is known
        return (
            value if isinstance(value, Secret) or not is_known_secret(value) else SecretValue(value)
        )
    if is_secret and isinstance(value, (int, float)) and not isinstance(value, bool):
        return register_secret(str(value))
    return value


def has_secret_text(value: Any) -> bool:
    """Returns True if a secret value is anywhere in the value, or a text that redaction would change."""
    found = False

    def look(leaf: Any, *, is_secret: bool) -> None:
        nonlocal found
        found = found or (
            isinstance(leaf, str)
            and bool(leaf)
            and (is_secret or isinstance(leaf, Secret) or redact_text(leaf) != leaf)
        )

    _converted(value, look, str)
    return found


def has_secret_value(value: Any) -> bool:
    """Returns True if the value is, or holds, a text that is known as a secret by its type."""
    if isinstance(value, (Mapping, list, tuple)):
        return any(map(has_secret_value, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, Secret) and bool(value)


def _converted(
    root: Any, leaf: Callable[..., Any], key_text: Callable[[str], str], *, is_secret: bool = False
) -> Any:
    """The value with its containers rebuilt and each leaf converted. Without recursion: what is nested 1,000 deep is no error."""
    top: list[Any] = [None]
    built: dict[tuple[int, bool], Any] = {}
    waiting: list[tuple[Any, Any, Any, bool]] = [(root, top, 0, is_secret)]
    while waiting:
        value, holder, slot, secretly = waiting.pop()
        if not isinstance(value, (dict, list, tuple, set, frozenset)):
            holder[slot] = leaf(value, is_secret=secretly)
            continue
        seen = built.get((id(value), secretly))
        if seen is not None:  # a value that is there twice, or that holds itself
            holder[slot] = seen
            continue
        if isinstance(value, dict):
            opened = _open_mapping(
                value, key_text, waiting, is_secret=secretly, everything=is_secret
            )
            holder[slot] = built[id(value), secretly] = opened
        else:
            made: list[Any] = [None] * len(value)
            holder[slot] = built[id(value), secretly] = made
            waiting += [(each, made, index, secretly) for index, each in enumerate(value)]
    return top[0]


_VALUE_NAMES = ("Value", "value")
_NAME_NAMES = ("Name", "name", "Key", "key")


def _open_mapping(
    value: dict[Any, Any],
    key_text: Callable[[str], str],
    waiting: list[Any],
    *,
    is_secret: bool,
    everything: bool,
) -> dict[Any, Any]:
    """The mapping with its keys, whose values wait to be converted: as secrets those under the name of one."""
    made: dict[Any, Any] = {}
    # {"name": "password", "value": ...}, and {"password": {"value": ...}}
    named = is_secret or any(
        is_secret_name(value[name]) for name in _NAME_NAMES if isinstance(value.get(name), str)
    )
    for key, each in value.items():
        name = key_text(key) if isinstance(key, str) else key
        made[name] = None
        inner = everything or (
            isinstance(key, str) and (is_secret_name(key) or (named and key in _VALUE_NAMES))
        )
        waiting.append((each, made, name, inner))
    return made


def redact_error(error: Any) -> None:
    """Take secrets out of an error of ours, in place: it goes to another process, which does not know what is secret here."""
    error.message, error.hint = redact_text(error.message), redact_text(error.hint)
    error.args = (error.message,)


def redact_tracebacks() -> None:
    """Print the tracebacks of exceptions that nobody handles without secrets, in any thread."""
    sys.excepthook = lambda kind, error, trace: _print_traceback("", kind, error, trace)
    threading.excepthook = lambda args: _print_traceback(
        f"Exception in thread {args.thread.name if args.thread else ''}:\n",
        args.exc_type,
        args.exc_value,
        args.exc_traceback,
    )


def _print_traceback(head: str, kind: Any, error: Any, trace: Any) -> None:
    if sys.stderr is not None and kind is not SystemExit:
        sys.stderr.write(
            redact_text(head + "".join(traceback.format_exception(kind, error, trace)))
        )


class RedactingFormatter(logging.Formatter):
    """Formats records of the standard library's loggers without secrets, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return redact_text(super().format(record))
