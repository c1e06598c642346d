"""Fetches secret params from AWS before the first step: each secret once, under its role."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Optional, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.common.failures import as_step_error
from rolerunner.errors import NotFound, RoleRefused, ServiceFailed, StepError
from rolerunner.events import Event, Note
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.lazy_dataclass import dataclass
from rolerunner.redaction.sealing import seal_secrets
from rolerunner.redaction.secrets import SecretValue, register_secret
from rolerunner.run.timeouts import run_with_timeout
from rolerunner.spec.param_values import parse_param
from rolerunner.spec.params import register_param
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rolerunner.model import PlannedSecret, Role, SecretSource
    from rolerunner.run.environment import RunEnvironment
    from rolerunner.sessions.registry import Sessions

_CONCURRENCY = 16
"""Secrets fetched at the same time."""
_CONNECT_SECONDS, _READ_SECONDS = 5, 10
_RETRIES = {"mode": "standard", "max_attempts": 3}
"""With the defaults of botocore, a job in a VPC without a route would hang for minutes."""
_UNREACHABLE = frozenset({"ConnectTimeoutError", "EndpointConnectionError", "ReadTimeoutError"})
_NO_VALUE = "InvalidSecret"
"""The type of a failure of a secret whose value cannot be that of the param."""
_NOT_FOUND = frozenset(
    {"ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound"}
)
_SCALARS = (str, int, float)


@dataclass
class FetchedSecrets:
    """The values of secret params, and why others could not be fetched."""

    values: dict[str, SecretValue] = field(default_factory=dict)
    refusals: dict[str, RoleRefused] = field(default_factory=dict)
    """Role -> its refusal, if it was not assumed before."""
    failures: list[StepError] = field(default_factory=list)


def fetch_secrets(
    secrets: Sequence[PlannedSecret],
    environment: RunEnvironment,
    notify: Callable[[Event], None],
    refused: Collection[str],
) -> FetchedSecrets:
    """Fetches the secrets, except those of ``refused`` roles. Cancellation abandons the requests.

    Params of one secret share a request.
    """
    groups: dict[tuple[Any, ...], list[PlannedSecret]] = {}
    for secret in secrets:
        source = secret.source
        if str(source.role) not in refused:
            groups.setdefault((source.service, source.name, source.role), []).append(secret)
    fetched = FetchedSecrets()

    def fetch_each() -> None:
        with ThreadPool(_CONCURRENCY, thread_name_prefix="rolerunner-secret") as pool:
            fetch = partial(_fetch_group, environment.sessions)
            for params, text in pool.map(lambda group: (group, fetch(group)), groups.values()):
                for secret in params:
                    _add_param(secret, text, fetched, notify)

    try:
        run_with_timeout(fetch_each, Cancel(environment.cancel), None, 0)
    except StepError:
        if not environment.cancel.is_set():
            raise
    return fetched


@dataclass(frozen=True)
class _SecretText:
    """The text of a secret, and the seconds that fetching it took."""

    text: SecretValue
    seconds: float


def _fetch_group(
    sessions: Sessions, group: Sequence[PlannedSecret]
) -> Union[_SecretText, StepError]:
    started = time.monotonic()
    try:
        text = fetch_text(group[0], sessions)
    except Exception as error:  # noqa: BLE001 - a foreign response may raise anything
        return as_step_error(error)
    return _SecretText(text, time.monotonic() - started)


def _add_param(
    secret: PlannedSecret,
    fetched_text: Union[_SecretText, StepError],
    fetched: FetchedSecrets,
    notify: Callable[[Event], None],
) -> None:
    source = secret.source
    if isinstance(fetched_text, RoleRefused):
        fetched.refusals[str(source.role)] = fetched_text
        return
    try:
        if isinstance(fetched_text, StepError):
            raise fetched_text
        fetched.values[source.param] = read_value(source, fetched_text.text)
    except StepError as error:
        fetched.failures.append(_name_param(source, error))
        return
    values = {
        "param": source.param,
        "from": str(source),
        "role": str(source.role),
        "seconds": round(fetched_text.seconds, 3),
    }
    notify(Note("", "info", "secret_fetched", values))


def _name_param(source: SecretSource, error: StepError) -> StepError:
    """Returns the error with the param in front of its message."""
    message = f"the param '{source.param}' ({source}): {error.message}"
    return type(error)(message, hint=error.hint, type=error.type)


def fetch_text(secret: PlannedSecret, sessions: Sessions) -> SecretValue:
    """Returns the text of a secret or parameter. Raises StepError."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - most runs fetch none

    try:
        text = _request_text(secret.source, sessions)
    except ClientError as error:
        raise _explain(secret, AwsError.from_client_error(error), sessions) from None
    except BotoCoreError as error:
        raise _explain_connection(secret.source, error, sessions) from None
    if text is None:
        _refuse_value(
            "the secret is binary, and a param is text",
            "store it as text, such as base64, or read it in your own function",
        )
    return _register_text(text)


def _request_text(source: SecretSource, sessions: Sessions) -> Any:
    """Requests a text; None for a binary secret. Raises botocore's errors."""
    from botocore.config import Config  # noqa: PLC0415

    from rolerunner.sessions.throttling import wait_out_throttling  # noqa: PLC0415

    config = Config(
        connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, retries=dict(_RETRIES)
    )
    client = sessions.client(source.role, source.service, region=source.region, config=config)
    if source.service == "ssm":
        response = wait_out_throttling(
            lambda: client.get_parameter(Name=source.name, WithDecryption=True)
        )
        return response["Parameter"]["Value"]
    response = wait_out_throttling(lambda: client.get_secret_value(SecretId=source.name))
    return response.get("SecretString")


def _register_text(text: Any) -> SecretValue:
    """Returns the text as a secret, with the passwords and keys of its JSON known too."""
    if not isinstance(text, str):
        _refuse_value("the response has no text")
    if text.lstrip().startswith("{"):
        parsed = _parse_json(text)
        if parsed is not None:
            seal_secrets(parsed)
    return register_secret(text)


def read_value(source: SecretSource, text: SecretValue) -> SecretValue:
    """Returns the param's value from the text of its secret. Raises StepError without showing it.

    Numbers of a JSON object become text.
    """
    value = text if source.json_key is None else _read_key(source.json_key, text)
    register_secret(value)  # before an error could show it
    if not value.strip():
        _refuse_value("the value is empty" if not value else "the value is blank")
    try:
        parse_param(source.rules, value)
    except ValueError:
        _refuse_value(
            "the value does not fit the declaration of the param",
            "compare it with min, max, pattern and choices; it is not shown",
        )
    return register_param(source.param, value)


def _read_key(key: str, text: str) -> str:
    parsed = _parse_json(text)
    if not isinstance(parsed, Mapping):
        _refuse_value(
            f"the secret is not a JSON object, so it has no key '{key}'",
            f"store it as a JSON object, or remove '#{key}'",
        )
    if key not in parsed:
        _refuse_value(f"the secret has no key '{key}'", "compare the spelling; keys are not shown")
    value = parsed[key]
    if isinstance(value, bool) or not isinstance(value, _SCALARS):
        kinds = {dict: "a mapping", list: "a list", bool: "true or false"}
        _refuse_value(f"the value of the key '{key}' is {kinds.get(type(value), 'null')}, not text")
    return str(value)


def _parse_json(text: str) -> Optional[Any]:
    """Returns the parsed text, with numbers as they are written; None if it is not JSON."""
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return None


def _refuse_value(message: str, hint: str = "") -> NoReturn:
    raise StepError(message, hint=hint, type=_NO_VALUE)


def _explain(secret: PlannedSecret, error: AwsError, sessions: Sessions) -> StepError:
    source = secret.source
    if error.code in _NOT_FOUND:
        return _explain_missing(source, error, sessions)
    caller = sessions.session_arn(source.role)
    return explain_error(error, source.role, caller=caller, needed=secret.permissions)


def _explain_connection(
    source: SecretSource, error: Exception, sessions: Sessions
) -> ServiceFailed:
    kind, hint = type(error).__name__, ""
    if kind in _UNREACHABLE:
        region = _find_region(source, sessions)
        hint = (
            f"there is no route to the service in {region}: a job in a VPC needs an interface "
            f"endpoint for com.amazonaws.{region}.{source.service} there, or a NAT gateway"
        )
    return ServiceFailed(str(error), hint=hint, type=kind)


def _find_region(source: SecretSource, sessions: Sessions) -> str:
    return source.region or source.role.region or sessions.require_region()


def _explain_missing(source: SecretSource, error: AwsError, sessions: Sessions) -> NotFound:
    kind = "secret" if source.service == "secretsmanager" else "parameter"
    region = _find_region(source, sessions)
    message = f"there is no such {kind} in {region}, in the account of {_describe(source.role)}"
    if source.region:
        message = f"there is no such {kind}"
    if error.code == "ParameterVersionNotFound":
        message = "the parameter has no such version"
    hint = (
        "" if source.region else f"a {kind} of another region or account is named by its whole ARN"
    )
    return NotFound(message, hint=hint, type=error.code)


def _describe(role: Role) -> str:
    return "the job" if role.is_job else f"the role '{role}'"
