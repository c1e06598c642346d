"""Suggests names, filters and operators for those that expressions of other tools have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_PARAM = "read a param, as in params.NAME"
_NO_ENVIRONMENT = "an expression reads no environment and no secrets: declare a param"
_ITEM = "the item of for_each is 'item'"
_STEP = "an output of a step is steps.ID.OUTPUT"
_RUN = "the run is run.id, run.name, run.date and run.time"
_NAMES = {
    **dict.fromkeys(("inputs", "input", "vars", "var", "variables", "parameters", "args"), _PARAM),
    **dict.fromkeys(("env", "envs", "environ", "secrets", "secret"), _NO_ENVIRONMENT),
    **dict.fromkeys(("matrix", "each", "loop", "taskrun"), _ITEM),
    **dict.fromkeys(("needs", "outputs", "tasks", "task", "jobs", "step", "ti"), _STEP),
    **dict.fromkeys(("github", "execution", "workflow", "context", "dag_run", "job"), _RUN),
    **dict.fromkeys(("null", "None", "nil"), "write none"),
    "True": "write true",
    "False": "write false",
    **dict.fromkeys(("ds", "logical_date", "date", "execution_date"), "the day is run.date"),
}
_FORMAT = "write format('%Y/%m/%d')"
_FILTERS = {
    **dict.fromkeys(("date", "strftime", "date_format", "dateformat", "to_datetime"), _FORMAT),
    **dict.fromkeys(("tojson", "to_json", "fromjson", "from_json"), "write json"),
    **dict.fromkeys(("len", "size", "count"), "write length"),
    **dict.fromkeys(("add_days", "dateadd", "timedelta"), "write plus(1) or minus(1)"),
    **dict.fromkeys(("strip", "lstrip", "rstrip"), "write trim"),
    **dict.fromkeys(("lowercase", "downcase", "casefold"), "write lower"),
    **dict.fromkeys(("uppercase", "upcase"), "write upper"),
    **dict.fromkeys(("str", "to_string", "tostring"), "write string"),
    **dict.fromkeys(("integer", "number", "float"), "write int"),
    **dict.fromkeys(("regex_replace", "sub", "cut"), "write replace(OLD, NEW)"),
    **dict.fromkeys(("first", "last"), "write an index, as in steps.ID.OUTPUT[0]"),
    **dict.fromkeys(("coalesce", "ifnull", "d"), "write default(OTHER)"),
}
_OPERATORS = (
    (re.compile(r"&&"), "write 'and' for '&&'"),
    (re.compile(r"\|\|"), "write 'or' for '||'"),
    (re.compile(r"\?"), "write A if CONDITION else B"),
    (re.compile(r"!(?!=)"), "write 'not' for '!'"),
    (re.compile(r"\$"), "write a name without '$', as in params.NAME"),
    (re.compile(r"(?<![=!<>])=(?!=)"), "write '==' to compare"),
)
_CALLS = {
    "always": "write when: always",
    "failure": "write when: on_failure",
    "success": "write when: on_success",
    "now": "write now, without '()'",
    "today": "write today, without '()'",
}
_DATE_LETTERS = re.compile(r"yyyy|YYYY|\bdd\b|\bDD\b|\bHH\b", re.ASCII)
_LETTERS = (("yyyy", "%Y"), ("mm", "%m"), ("dd", "%d"), ("hh", "%H"))


def suggest_foreign_name(name: str, params: Collection[str]) -> str:
    """Returns the hint for the first part of a name that expressions of other tools read."""
    return f"write params.{name}" if name in params else _NAMES.get(name, "")


def suggest_filter(name: str) -> str:
    """Returns the hint for a filter of another tool; empty without one."""
    return _FILTERS.get(name.lower(), "")


def suggest_for_call(name: str) -> str:
    """Returns the hint for a call of a function of another tool; empty without one."""
    return _CALLS.get(name, "")


def suggest_operator(text: str) -> str:
    """Returns the hint for a text that is not an expression; empty without one."""
    outside_quotes = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    return next((hint for pattern, hint in _OPERATORS if pattern.search(outside_quotes)), "")


def suggest_date_form(form: str) -> str:
    """Returns the form of strftime for one such as ``yyyy/MM/dd``; empty if it is none."""
    if "%" in form or not _DATE_LETTERS.search(form):
        return ""
    text = form
    for letters, directive in _LETTERS:
        text = re.sub(letters, directive, text, flags=re.IGNORECASE)
    return text
