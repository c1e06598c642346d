"""Injects faults between a run and the sandbox: errors, delays, lost and truncated responses."""

import random
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BeforeValidator, Field, model_validator

from rolerunner.sandbox.proxy import Proxy, ProxyHandler
from rolerunner.sandbox.requests import OPERATIONS, parse_operation
from rolerunner.spec.field_types import Seconds, StrictModel
from rolerunner.spec.values import suggest_name

_CODES = {
    400: "BadRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "OperationAborted",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}
"""Default error code of each status."""
_SIGNED_FOR = re.compile(r"Credential=[^/, ]+/\d+/[^/, ]*/([^/, ]*)")


class _Unknown(ValueError):
    """An unknown operation, with a suggestion."""

    def __init__(self, name: str) -> None:
        super().__init__(f"'{name}' is not an operation of S3 or STS")
        self.hint = (
            suggest_name(name, OPERATIONS)
            or "for another service, write service:Operation, as in glue:StartJobRun"
        )


def _validate_operation(value: Any) -> Any:
    if isinstance(value, str) and value != "*" and ":" not in value and value not in OPERATIONS:
        raise _Unknown(value)
    return value


Operation = Annotated[str, BeforeValidator(_validate_operation)]
"""An operation of S3 or STS, or service:Operation of another service; * matches any."""


class Fault(StrictModel):
    """A fault for matching requests."""

    operation: Operation = Field(
        "*",
        description="The operation: its name for S3 and STS, service:Operation for others; "
        "* matches any.",
        examples=["GetObject", "AssumeRole"],
    )
    bucket: str = Field(
        "*",
        description="Only requests on this bucket; * matches any text.",
        examples=["landing"],
    )
    key: str = Field(
        "*",
        description="Only requests on this key; * matches any text, also '/'.",
        examples=["orders/*"],
    )
    answer: Optional[int] = Field(
        None,
        ge=400,
        le=599,
        description="Respond with this status; the request does not reach AWS.",
        examples=[503],
    )
    code: Optional[str] = Field(
        None,
        min_length=1,
        description="The error code of the response to 'answer'.",
        examples=["SlowDown"],
    )
    drop: bool = Field(
        False, description="Close the connection; the request does not reach AWS.", examples=[True]
    )
    lose: bool = Field(
        False,
        description="Process the request, but close the connection without a response.",
        examples=[True],
    )
    cut: bool = Field(
        False,
        description="Process the request, but cut off the response in the middle.",
        examples=[True],
    )
    delay: Seconds = Field(0.0, description="Delay before anything else happens.", examples=["2s"])
    times: Optional[int] = Field(
        None,
        ge=1,
        description="Maximum number of requests that it affects; all by default.",
        examples=[2],
    )
    after: int = Field(
        0, ge=0, description="Number of matching requests to let pass first.", examples=[1]
    )
    rate: float = Field(
        1,
        gt=0,
        le=1,
        description="The share of the matching requests that it affects.",
        examples=[0.1],
    )

    @model_validator(mode="after")
    def _does_one_thing(self) -> "Fault":
        effects = [
            name
            for name in ("answer", "drop", "lose", "cut")
            if getattr(self, name) not in (None, False)
        ]
        if len(effects) > 1:
            both = f"{effects[0]} and {effects[1]}"
            raise ValueError(f"must have one of answer, drop, lose and cut, not both {both}")
        if not effects and not self.delay:
            raise ValueError("must have one of answer, drop, lose, cut and delay")
        if self.code is not None and self.answer is None:
            raise ValueError("'code' requires 'answer'")
        return self

    @property
    def kind(self) -> str:
        """Returns the kind of fault."""
        return next(
            (
                name
                for name in ("answer", "drop", "lose", "cut")
                if getattr(self, name) not in (None, False)
            ),
            "delay",
        )

    def applies_to(self, service: str, operation: str, parameters: Mapping[str, Any]) -> bool:
        """Returns True if the fault applies to such a request."""
        names = ("*", operation, f"{service}:{operation}")
        place = str(parameters.get("Bucket", "")), str(parameters.get("Key", ""))
        return (
            self.operation in names
            and fnmatchcase(place[0], self.bucket)
            and fnmatchcase(place[1], self.key)
        )


@dataclass(frozen=True)
class InjectedFault:
    """A fault that was injected."""

    kind: str
    operation: str
    key: str


class FaultyProxy(Proxy):
    """Forwards requests and injects the first matching fault; ``seed`` is for ``rate``."""

    def __init__(self, endpoint: str, faults: Sequence[Fault], seed: int = 0) -> None:
        super().__init__(endpoint, _Faulty)
        self.injected: list[InjectedFault] = []
        self._faults = tuple(faults)
        self._seen = [0] * len(faults)
        self._left = [fault.times for fault in faults]
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def fault_for(
        self, service: str, operation: str, parameters: Mapping[str, Any]
    ) -> Optional[Fault]:
        """Returns the fault to inject into this request, or None."""
        with self._lock:
            for number, fault in enumerate(self._faults):
                if fault.applies_to(service, operation, parameters) and self._is_due(number, fault):
                    self.injected.append(
                        InjectedFault(fault.kind, operation, str(parameters.get("Key", "")))
                    )
                    return fault
        return None

    def _is_due(self, number: int, fault: Fault) -> bool:
        self._seen[number] += 1
        if (
            self._seen[number] <= fault.after
            or self._left[number] == 0
            or self._random.random() >= fault.rate
        ):
            return False
        left = self._left[number]
        self._left[number] = None if left is None else left - 1
        return True


class _Faulty(ProxyHandler):
    server: FaultyProxy

    def respond(self, body: bytes) -> None:
        service, operation, parameters = self._parse_request(body)
        fault = self.server.fault_for(service, operation, parameters)
        if fault is not None:
            time.sleep(fault.delay)
        if fault is not None and fault.drop:
            return self.hang_up()
        if fault is not None and fault.answer is not None:
            return self._send_error(
                service, fault.answer, fault.code or _CODES.get(fault.answer, "InternalError")
            )
        status, headers, data = self.forward_request(body)
        if fault is not None and fault.lose:
            return self.hang_up()
        return self.answer(status, headers, data, cut=fault is not None and fault.cut)

    def _parse_request(self, body: bytes) -> tuple[str, str, dict[str, Any]]:
        """Returns service, operation and parameters."""
        signed = _SIGNED_FOR.search(self.headers.get("Authorization", ""))
        place = urlsplit(self.path)
        is_form = "x-www-form-urlencoded" in self.headers.get("Content-Type", "")
        service = signed.group(1) if signed else "s3"
        record = {
            "service": service,
            "method": self.command,
            "path": unquote(place.path),
            "query": dict(parse_qsl(place.query, keep_blank_values=True)),
            "target": self.headers.get("X-Amz-Target", ""),
            "copies": "x-amz-copy-source" in self.headers,
            "form": dict(parse_qsl(body.decode("utf-8", "replace"))) if is_form else {},
        }
        return (service, *parse_operation(record))

    def _send_error(self, service: str, status: int, code: str) -> None:
        message = "a fault of the test"
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        if "X-Amz-Target" in self.headers or "json" in self.headers.get("Content-Type", ""):
            body = f'{{"__type": "{code}", "message": "{message}"}}'
            return self.answer(
                status,
                {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code},
                body.encode(),
            )
        text = error if service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
        return self.answer(status, {"Content-Type": "text/xml"}, text.encode())
