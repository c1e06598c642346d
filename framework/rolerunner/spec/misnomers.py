"""Suggests fields and values for those that other tools use.

Each group maps keys to the fields that they can mean, best first; the suggestion is the first one
that is valid at that place of the spec.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from rolerunner.model import S3Uri
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from pydantic import BaseModel

NO_SHELL = "no step runs a shell: write a function and call it with action: python.call"
_IN_S3, _LOCAL = "in S3", "local"
"""Stand for the fields of an action with a location in S3, or a local path."""

_FORMS = {
    "encryption": "encryption: {type: aws:kms, key: alias/NAME}",
    "retry": "retry: {attempts: 3, delay: 2s}",
    "on_error": "on_error: continue",
    "when": "when: on_success, on_failure, always, or an expression",
    "needs": "needs: [ID]",
    "timeout": "timeout: 30m",
    "duration": "duration: 1h",
    "steps": "steps, a list of mappings with id and action",
    "role": "role: an alias of 'roles', an ARN, or job",
    "roles": "roles: {ALIAS: ARN}",
    "if_exists": "if_exists: overwrite, skip, skip_same, fail or fail_different",
    "delete_extra": "delete_extra: true, with max_delete",
    "include": "include: ['**/*.csv']",
    "exclude": "exclude: ['**/*.tmp']",
    "params": "params: {NAME: {type: string}}",
}
"""Examples of fields whose name alone does not explain them."""

_MAPPINGS = {
    "encryption": "{type: aws:kms, key: alias/NAME}",
    "retry": "{attempts: 3, delay: 2s}",
    "defaults": "{role: ALIAS, timeout: 30m}",
    "roles": "{ALIAS: ARN}",
    "params": "{NAME: {type: string}}",
    "arguments": "{NAME: VALUE}",
    "tags": "{KEY: VALUE}",
    "metadata": "{KEY: VALUE}",
    "state": "{location: s3://bucket/prefix/, role: ALIAS}",
    "glue": "{role: ARN, artifacts: s3://bucket/prefix/}",
    "environments": "{prod: {params: {NAME: VALUE}}}",
    "parameters": "{Bucket: NAME}",
    "options": "{NAME: VALUE}",
}
"""Examples of fields that are mappings."""

_LISTS_OF_TEXT = frozenset(
    [
        "needs",
        "include",
        "exclude",
        "choices",
        "requirements",
        "packages",
        "connections",
        "secret_outputs",
        "policy_arns",
        "transitive_tags",
        "on",
    ]
)

_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "bucket key prefix bucket_name s3_key s3_bucket s3_prefix s3_uri s3_path uri url object",
        (_IN_S3,),
    ),
    (
        "src source_path source_uri from input origin copy_from local_path local",
        ("source", "location"),
    ),
    (
        "dest destination dst to output out sink target_path target_uri copy_to save_to",
        ("target", "inventory", "location"),
    ),
    ("path file folder dir directory filename filepath file_name", (_LOCAL, _IN_S3)),
    ("files keys", ("objects", "source")),
    ("uses type kind plugin operator action_type task", ("action",)),
    (
        "cmd command run script shell bash exec code handler callable entrypoint module",
        ("function",),
    ),
    ("depends_on depends dependencies after requires dependson upstream", ("needs", "after")),
    ("envs environment overlays", ("environments",)),
    ("cron schedule_expression scheduleexpression trigger triggers", ("schedule",)),
    ("predicate triggered_by after_jobs", ("after",)),
    ("queue queuing job_queuing job_run_queuing_enabled", ("queue_runs",)),
    ("notify_delay notification_property", ("notify_delay_after",)),
    ("flex", ("execution_class",)),
    ("if condition only only_if unless rules trigger_rule on", ("when",)),
    ("with args kwargs arguments inputs payload", ("arguments", "parameters", "params")),
    ("variables vars inputs parameters arguments args", ("params", "parameters", "arguments")),
    (
        (
            "role_arn rolearn iam_role iam_role_arn assume_role role_name profile aws_role run_as "
            "credentials connection aws_conn_id"
        ),
        ("role", "arn", "roles"),
    ),
    ("alias iam_roles assume_roles", ("roles",)),
    (
        (
            "kms_key_id kms_key kms kms_key_arn sse sse_kms_key_id server_side_encryption "
            "ssekmskeyid serversideencryption encrypt sse_algorithm"
        ),
        ("encryption", "key"),
    ),
    ("key_id key_arn kms_key_id kmskeyid arn alias", ("key",)),
    ("loop foreach with_items matrix items each strategy", ("for_each",)),
    ("retries attempts max_attempts retry_count max_retries retry_attempts", ("retry", "attempts")),
    ("retry_delay wait interval", ("delay", "interval", "retry")),
    (
        "continue_on_error ignore_errors ignore_failure allow_failure fail_fast",
        ("on_error", "on_failure"),
    ),
    (
        (
            "timeout_minutes timeout_seconds timeout_in_minutes max_time max_duration "
            "execution_timeout"
        ),
        ("timeout", "deadline"),
    ),
    ("session_duration duration_seconds max_session_duration durationseconds ttl", ("duration",)),
    ("pattern glob globs filter match wildcard suffix includes", ("include",)),
    ("ignore excludes skip", ("exclude", "if_exists")),
    ("rules filter_rules ordered_filters", ("filters",)),
    ("case_insensitive case_sensitive icase", ("ignore_case",)),
    ("backup_extension", ("backup_suffix",)),
    ("exclude_if_exists marker nobackup", ("exclude_if_present",)),
    ("overwrite force replace skip_existing no_clobber", ("if_exists", "mode")),
    ("delete sync mirror prune purge remove", ("delete_extra", "move")),
    ("content body value contents message string", ("text", "json")),
    ("canned_acl acls grants", ("acl",)),
    ("tagging tag labels", ("tags",)),
    ("mime_type mimetype media_type", ("content_type",)),
    (
        "concurrency parallel parallelism workers threads max_workers max_concurrency",
        ("max_parallel",),
    ),
    ("jobs tasks stages pipeline actions", ("steps",)),
    ("title label summary comment doc", ("description", "name")),
    ("name step step_id task_id", ("id",)),
    (
        "notifications notification alerts alert alarms email slack on_failure_callback webhooks",
        ("notify",),
    ),
    ("topic topic_arn sns_topic sns_topic_arn", ("sns",)),
    ("event_bus bus eventbridge", ("event",)),
    ("queue queue_arn sqs_queue", ("sqs",)),
    ("url webhook_url slack_webhook slack_url slack teams", ("webhook",)),
    ("when events status", ("on",)),
    ("sql", ("query",)),
    ("query jmespath output_path result_path", ("select",)),
    ("newer_than modified_after since after_date", ("max_age",)),
    ("older_than modified_before until before_date", ("min_age",)),
    ("glue_version python_version glueversion version", ("runtime",)),
    ("dpu max_capacity maxcapacity", ("capacity",)),
    ("number_of_workers num_workers numberofworkers", ("workers",)),
    ("default_arguments defaultarguments", ("arguments", "fixed_params")),
    ("extra_py_files additional_python_modules pip", ("requirements", "packages")),
    ("interval_seconds", ("delay",)),
    ("api method call function", ("operation",)),
    ("client", ("service",)),
    ("job job_name", ("name",)),
    ("imports includes extends", ("include",)),
    ("principal role_arn role", ("arn",)),
    ("source_profile parent chain", ("via",)),
    ("policy policies inline_policy scope", ("session_policy", "policy_arns", "permissions")),
    ("trust_policy assume_role_policy assume_role_policy_document", ("trust",)),
    ("externalid", ("external_id",)),
    ("account_id accountid aws_account", ("account",)),
    ("rate rate_limit max_bandwidth throughput", ("bandwidth", "max_requests_per_second")),
    ("checksum_algorithm hash", ("checksum",)),
    ("storageclass tier class", ("storage_class",)),
)
_SCHEDULE = "write it under 'glue', as in glue: {schedule: cron(0 3 * * ? *)}"
_ELSEWHERE = {
    "on": _SCHEDULE,
    "schedule": _SCHEDULE,
    "trigger": _SCHEDULE,
    "triggers": _SCHEDULE,
    "cron": _SCHEDULE,
    "env": "steps do not read environment variables: declare 'params'",
    "environment": "steps do not read environment variables: declare 'params'",
    **dict.fromkeys(
        ("max_failures", "max_requests_per_second", "bandwidth"),
        "this action has no such limit; those that work on each object have it",
    ),
    "region": "the region belongs to the role: write it under 'roles'",
    "external_id": "it belongs to the role: write it under 'roles'",
    **dict.fromkeys(
        (
            "expires",
            "content_encoding",
            "content_disposition",
            "content_language",
            "website_redirect",
        ),
        "this action stores no object; s3.upload, s3.write and s3.copy set this header",
    ),
    "recursive": "a prefix that ends with '/' includes everything under it",
    **dict.fromkeys(("cmd", "command", "run", "script", "shell"), NO_SHELL),
    "with": "write the fields of an action at the same level as 'action'",
}
"""Hints for keys that no field replaces."""


def suggest_field(name: str, model: type[BaseModel], keys: Iterable[str]) -> str:
    """Returns the hint for a key of another tool, given the valid ``keys``; empty without one."""
    known = tuple(keys)
    canonical = _to_snake_case(name)
    if canonical.startswith(("x_", ".")):
        return "a spec has no keys for anchors alone: write '&NAME' at the value's first use"
    if canonical in known:
        return f"write '{canonical}'"
    for names, fields in _GROUPS:
        right = _fields_of(fields, model, known) if canonical in names.split() else []
        if right:
            return f"write {' or '.join(right)}"
    return _ELSEWHERE.get(canonical, "")


_VALUES = {
    "sse-kms": ("aws:kms",),
    "kms": ("aws:kms",),
    "sse-s3": ("AES256",),
    "s3": ("AES256",),
    "array": ("list",),
    "float": ("number",),
    "text": ("string",),
    "ignore": ("continue", "skip"),
    "warn": ("continue",),
    **dict.fromkeys(("failure", "failed", "error"), ("on_failure", "fail", "failed")),
    "one_failed": ("on_failure",),
    **dict.fromkeys(("success", "ok", "passed", "pass"), ("on_success", "succeeded")),
    "all_success": ("on_success",),
    "all_done": ("always",),
    **dict.fromkeys(("mtime", "last_modified", "date"), ("modified",)),
    "replace": ("overwrite",),
    "newer": ("skip_same",),
    **dict.fromkeys(("spark", "glueetl"), ("glue-5.0",)),
    "python": ("pythonshell",),
}
"""Values of other tools, in lower case, and the choices that mean the same."""


def suggest_choice(value: Any, choices: Collection[str]) -> str:
    """Returns the hint for a value that is none of the choices; empty if none is near."""
    known = _VALUES.get(str(value).lower().strip("()"), ())
    same = next((each for each in known if each in choices), "")
    return f"write {same}" if same else suggest_name(str(value), choices)


def suggest_mapping(path: Sequence[str | int]) -> str:
    """Returns the hint for a value that must be a mapping; empty if no example is known."""
    if len(path) == 2 and path[0] == "params":  # noqa: PLR2004 - a param is right below
        return f"write {path[1]}: {{type: string}}"
    form = _MAPPINGS.get(str(path[-1])) if path else None
    return f"write {path[-1]}: {form}" if form else ""


def suggest_list(name: str, value: Any) -> str:
    """Returns the hint for a value that must be a list."""
    if name == "steps":
        return "begin each step with '- id: NAME'"
    is_plain = isinstance(value, str) and not set("'\n").intersection(value)
    return f"write {name}: ['{value}']" if is_plain and name in _LISTS_OF_TEXT else ""


def _to_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def _fields_of(fields: Iterable[str], model: type[BaseModel], known: tuple[str, ...]) -> list[str]:
    """Returns how to write the first valid field; for locations, all of them."""
    for field in fields:
        if field in (_IN_S3, _LOCAL):
            places = list(_list_places(model, in_s3=field == _IN_S3))
            if places:
                return [
                    f"{name}: s3://bucket/key" if field == _IN_S3 else f"'{name}'"
                    for name in places
                ]
        elif field in known:
            return [_FORMS.get(field, f"'{field}'")]
    return []


def _list_places(model: type[BaseModel], *, in_s3: bool) -> Iterator[str]:
    for name in ("source", "target", "location"):
        if (
            name in model.model_fields
            and (name == "location" or _mentions_s3(model.model_fields[name].annotation)) == in_s3
        ):
            yield name


def _mentions_s3(annotation: Any) -> bool:
    return annotation is S3Uri or any(map(_mentions_s3, get_args(annotation)))
