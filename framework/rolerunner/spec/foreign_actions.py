"""Suggests actions for the commands, operators and plugins of other tools."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from rolerunner.spec.misnomers import NO_SHELL
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LIST, _COPY, _DELETE = "write action: s3.list", "write action: s3.copy", "write action: s3.delete"
_MOVE = "write action: s3.copy, with move: true"
_TRANSFER = "write action: s3.upload, s3.download or s3.copy"
_SYNC = f"{_TRANSFER}; with delete_extra: true, it also deletes what the source lacks"
_FUNCTION = "write action: python.call, which calls a function of yours"
_CALL = "write action: aws.call, with 'service' and 'operation'"
_COMMANDS = {
    **dict.fromkeys(("ls", "list", "listobjects", "listobjectsv2", "listkeys"), _LIST),
    **dict.fromkeys(("cp", "s3cp", "transfer"), _TRANSFER),
    **dict.fromkeys(("copyobject", "copyobjects", "s3copyobject"), _COPY),
    **dict.fromkeys(("mv", "move", "rename"), _MOVE),
    **dict.fromkeys(("sync", "rsync", "mirror"), _SYNC),
    **dict.fromkeys(
        ("rm", "remove", "del", "deleteobject", "deleteobjects", "purge", "rb"), _DELETE
    ),
    **dict.fromkeys(("get", "getobject", "pull", "downloads"), "write action: s3.download"),
    **dict.fromkeys(
        ("put", "putobject", "push", "uploads", "createobject"), "write action: s3.upload"
    ),
    **dict.fromkeys(("cat", "select"), "write action: s3.read"),
    **dict.fromkeys(("head", "headobject", "exists", "key"), "write action: s3.wait"),
    **dict.fromkeys(("zip", "tar", "compress", "archive"), "write action: s3.pack"),
    **dict.fromkeys(("unzip", "untar", "decompress", "extract"), "write action: s3.unpack"),
    **dict.fromkeys(("merge", "join", "concatenate", "concat"), "write action: s3.concat"),
    **dict.fromkeys(("bash", "shell", "sh", "command", "cmd", "script", "exec", "ssh"), NO_SHELL),
    **dict.fromkeys(("python", "function", "code", "lambda", "http", "request"), _FUNCTION),
    **dict.fromkeys(("athena", "query", "sql"), "write action: athena.query or spark.sql"),
    **dict.fromkeys(("glue", "gluejob", "startjobrun"), "write action: glue.run"),
    **dict.fromkeys(("sns", "publish", "sqs", "dynamodb", "invoke", "sts"), _CALL),
}
"""Hints for the commands, operators and plugins of other tools, in lower case without hyphens."""
_TOOLS = frozenset(
    [
        "s3",
        "s3api",
        "aws",
        "awscli",
        "airflow",
        "kestra",
        "sdk",
        "athena",
        "glue",
        "bash",
        "shell",
        "sh",
        "python",
        "http",
        "ssh",
        "lambda",
        "sns",
        "sqs",
        "dynamodb",
        "sts",
    ]
)
"""First words of the names that other tools have; those of packages with actions differ."""
_OPERATOR_SUFFIX = re.compile(r"(operator|sensor|task|plugin|job)\Z")

_MISSPELT = 0.9
"""Similarity from which on a name is one of ours with a letter missing, not another tool's."""


def suggest_action(name: str, actions: Collection[str]) -> str:
    """Returns the hint for an unknown action: the right one, or all names."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.replace("-", "").lower()) if word]
    listed = f"known: {', '.join(sorted(actions))}"
    if not words:
        return listed
    exact = next((each for each in (".".join(words), f"s3.{words[-1]}") if each in actions), "")
    if exact and (len(words) == 1 or _TOOLS.intersection(words)):
        return f"did you mean '{exact}'?"
    misspelt = difflib.get_close_matches(".".join(words), actions, n=1, cutoff=_MISSPELT)
    if misspelt:
        return f"did you mean '{misspelt[0]}'?"
    if len(words) > 1 and not _TOOLS.intersection(words):
        return suggest_name(name, actions) or listed
    return _suggest_command(words) or suggest_name(name, actions) or listed


def _suggest_command(words: Sequence[str]) -> str:
    """Returns the hint for the words of a command or of an operator's class."""
    last = _OPERATOR_SUFFIX.sub("", words[-1]) or words[-1]
    tools = [word for word in words[:-1] if word not in ("run", "sql")]
    candidates = (words[-1], last, last.removeprefix("s3"), *tools)
    return next((_COMMANDS[each] for each in candidates if each in _COMMANDS), "")
