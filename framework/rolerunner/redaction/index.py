"""Finds the secrets in use in a text."""

from __future__ import annotations

import threading

from rolerunner.redaction import secrets
from rolerunner.redaction.encodings import MIN_SECRET_LENGTH, list_encoded_forms
from rolerunner.redaction.secrets import MASK

_GRAM, _STRIDE = 8, 9
"""Length and distance of the substrings that a text is sampled by: one of them lies in the first
characters of each form within the text."""
_SAMPLED_LENGTH = _GRAM + _STRIDE - 1
_MIN_CUT_LENGTH = 12
"""Characters by which a secret that was cut off with '...' is recognized."""


class SecretIndex:
    """The encoded forms of the secrets in use, found in a text without a search for each.

    A form of 16 characters or more has one of its first substrings at a sampled position of any
    text that contains it; shorter ones are searched for one by one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear_index()

    def _clear_index(self) -> None:
        self._known: set[str] = set()
        self._grams: dict[str, list[str]] = {}
        self._short: dict[str, None] = {}
        self.clean: set[str] = set()
        """Short texts found to be no secret by what the index has; another set once it changes."""

    def rebuild(self) -> None:
        """Replaces the content by the secrets that are in use now."""
        with self._lock:
            self._clear_index()
            for text in secrets.list_secrets():
                self._add_text(text)
            self.clean = set()

    def update(self) -> None:
        """Adds newly registered secrets, and rebuilds once most of the content is out of use."""
        if not secrets.has_new_secrets():
            return
        with self._lock:
            new = secrets.take_new_secrets()
            if len(self._known) > 2 * secrets.count_secrets() + 64:
                self._clear_index()
                new = list(secrets.list_secrets())
            for text in new:
                if text not in self._known:
                    self._add_text(text)
            self.clean = set()

    def _add_text(self, text: str) -> None:
        self._known.add(text)
        for form in list_encoded_forms(text) if len(text) >= MIN_SECRET_LENGTH else ():
            if len(form) < _SAMPLED_LENGTH:
                self._short[form] = None
                continue
            for start in range(_STRIDE):
                self._grams.setdefault(form[start : start + _GRAM], []).append(form)

    def is_secret(self, text: str) -> bool:
        """Returns True if the text is a secret and nothing else."""
        return text in self._known

    def mask(self, text: str) -> str:
        """Returns the text with each form masked, the longest first."""
        found = {form for form in list(self._short) if form in text}
        if self._grams and len(text) >= _GRAM:
            hits = {
                form
                for start in range(0, len(text) - _GRAM + 1, _STRIDE)
                for form in self._grams.get(text[start : start + _GRAM], ())
            }
            found |= hits
        if not found:
            return text
        for form in sorted(found, key=len, reverse=True):
            text = text.replace(form, MASK) if form in text else _mask_cut(text, form)
        return text


def _mask_cut(text: str, form: str) -> str:
    """Returns the text with a form masked that was cut off at its end or shortened by '...'."""
    low, high = _MIN_CUT_LENGTH, len(form) - 1
    if form[:low] not in text:
        return text
    while low < high:  # the longest beginning of the form within the text
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
