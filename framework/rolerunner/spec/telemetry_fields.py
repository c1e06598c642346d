"""Models the ``telemetry`` section of a spec: what a run reports to other systems."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Optional
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from rolerunner.model import EmfSettings, OpenLineageSettings, OtlpSettings, Telemetry
from rolerunner.spec.field_types import StrictModel, Text
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.spec.validation import describe_value

if TYPE_CHECKING:
    from rolerunner.spec.reader import SpecReader

_EMF_NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9][A-Za-z0-9._#:/-]{0,254}\Z")
_MAX_NAMESPACE = 255


def _check_emf_namespace(value: Any) -> Any:
    if isinstance(value, str) and not _EMF_NAMESPACE.match(value):
        raise ValueError(
            "must be 1 to 255 letters, digits and . - _ # : /, begin with a letter or digit, and "
            f"not with AWS/, not '{value}'"
        )
    return value


def _check_lineage_namespace(value: Any) -> Any:
    if isinstance(value, str) and (
        not value.strip() or len(value) > _MAX_NAMESPACE or not value.isprintable()
    ):
        raise ValueError(f"must be 1 to {_MAX_NAMESPACE} printable characters")
    return value


def _check_url(value: Any) -> Any:
    """Raises ValueError for what is no URL of a server; the message does not show a password."""
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("cannot hold a user name or a password; set them in the environment")
    if not host or parts.scheme not in ("http", "https") or not value.isprintable() or " " in value:
        raise ValueError("must be a URL that begins with https:// or http://")
    return value


def _expand_switch(value: Any) -> Any:
    """Returns the mapping that ``true`` stands for, and None for ``false``."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class _Switch:
    """Marks a mapping that may also be true, for its default settings, or false."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_expand_switch, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [*handler(schema)["anyOf"], {"type": ["boolean", "null"]}]}


class EmfFields(StrictModel):
    """CloudWatch's embedded metric format: lines on standard output."""

    namespace: Optional[Annotated[Text, BeforeValidator(_check_emf_namespace)]] = Field(
        None,
        description="The namespace of the metrics; AWS_EMF_NAMESPACE or rolerunner by default.",
        examples=["rolerunner"],
    )


class OpenLineageFields(StrictModel):
    """Events for a server of OpenLineage, such as Marquez."""

    namespace: Optional[Annotated[Text, BeforeValidator(_check_lineage_namespace)]] = Field(
        None,
        description="The namespace of the job; OPENLINEAGE_NAMESPACE or default by default.",
        examples=["orders"],
    )
    url: Optional[Annotated[Text, BeforeValidator(_check_url)]] = Field(
        None,
        description="The server; by default the one of OPENLINEAGE_URL or OPENLINEAGE_CONFIG.",
        examples=["https://lineage.example.com"],
    )


class OtlpFields(StrictModel):
    """Spans, sent by OTLP over HTTP."""

    endpoint: Optional[Annotated[Text, BeforeValidator(_check_url)]] = Field(
        None,
        description="Where spans are posted; by default where OTEL_EXPORTER_OTLP_ENDPOINT says.",
        examples=["https://collector.example.com/v1/traces"],
    )


class MetricsFields(StrictModel):
    """The metrics of a run."""

    emf: Annotated[Optional[EmfFields], _Switch()] = Field(
        None,
        description="Writes them in CloudWatch's embedded metric format: true, or its settings.",
        examples=[True, {"namespace": "rolerunner"}],
    )


class LineageFields(StrictModel):
    """The lineage of a run: which prefixes its steps read and write."""

    openlineage: Annotated[Optional[OpenLineageFields], _Switch()] = Field(
        None,
        description="Sends OpenLineage events: true, or their settings.",
        examples=[{"namespace": "orders"}],
    )


class TracesFields(StrictModel):
    """The trace of a run: spans of the run, its steps, items and roles."""

    otlp: Annotated[Optional[OtlpFields], _Switch()] = Field(
        None,
        description="Sends spans by OTLP over HTTP: true, or their settings.",
        examples=[True],
    )


class TelemetryFields(StrictModel):
    """The reports of a run to other systems."""

    metrics: Optional[MetricsFields] = Field(
        None,
        description="Metrics: seconds, objects, bytes, attempts and refusals of runs and steps.",
        examples=[{"emf": {"namespace": "rolerunner"}}],
    )
    lineage: Optional[LineageFields] = Field(
        None,
        description="Lineage: which prefixes are read and written, by which job and role.",
        examples=[{"openlineage": {"namespace": "orders"}}],
    )
    traces: Optional[TracesFields] = Field(
        None,
        description="Traces: a span for the run, each step, item and AssumeRole.",
        examples=[{"otlp": True}],
    )


def parse_telemetry(value: Any, reader: SpecReader) -> Optional[Telemetry]:
    """Returns what a run reports; None if it is wrong. Mistakes are added to the reader."""
    path = ("telemetry",)
    if not isinstance(value, dict):
        reader.add(path, f"'telemetry' must be a mapping, not {describe_value(value)}")
        return None
    parsed = reader.fill_known(reader.parse_templates(value, path, ("params",)), path)
    fields = reader.validate_model(TelemetryFields, parsed, path)
    if fields is None:
        return None
    emf = fields.metrics and fields.metrics.emf
    openlineage = fields.lineage and fields.lineage.openlineage
    otlp = fields.traces and fields.traces.otlp
    return Telemetry(
        EmfSettings(_get_text(emf.namespace)) if emf else None,
        OpenLineageSettings(_get_text(openlineage.namespace), _get_text(openlineage.url))
        if openlineage
        else None,
        OtlpSettings(_get_text(otlp.endpoint)) if otlp else None,
        is_partial=any(iter_templates(parsed)),
    )


def _get_text(value: Any) -> str:
    """Returns the text of a setting; empty if it has none or depends on a param without a value."""
    return value if isinstance(value, str) else ""
