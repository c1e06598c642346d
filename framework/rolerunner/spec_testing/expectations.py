"""Models of the expectations of a case: the run, its steps, objects, files and messages."""

from typing import Annotated, Any, Literal, Optional, get_args

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema

from rolerunner.model import S3Uri
from rolerunner.sandbox.faults import Operation
from rolerunner.spec.field_types import OwnSchema, S3Location, ShortForm, StrictModel, check_path

RunStatus = Literal["succeeded", "warning", "failed", "stopped"]
StepStatus = Literal["succeeded", "warning", "failed", "skipped", "not_run"]


def as_text(value: Any) -> Any:
    """Returns a text as a mapping of the same meaning."""
    return {"text": value} if isinstance(value, str) else value


def _as_status(value: Any) -> Any:
    return {"status": value} if isinstance(value, str) else value


def _as_log(value: Any) -> Any:
    return {"log": value} if isinstance(value, list) else value


def _validate_local_path(value: Any) -> Any:
    check_path(value)
    if isinstance(value, str) and (value.startswith("/") or ".." in value.split("/")):
        raise ValueError("must be a path below the case's folder, such as in/orders.csv")
    return value


LocalFile = Annotated[str, BeforeValidator(_validate_local_path)]
"""A file of the folder that the case runs in."""


class ExpectedFile(StrictModel):
    """Expected content of a file, or names of a folder; everything given must match."""

    absent: bool = Field(
        False,
        description="Whether it must not exist; for a prefix, whether nothing may be below it.",
        examples=[True],
    )
    text: Optional[str] = Field(None, description="Its whole text.", examples=["hello"])
    contains: Optional[str] = Field(
        None, description="A part of its text; * matches any text.", examples=["id,*"]
    )
    gzip: Optional[str] = Field(
        None, description="Its whole text after decompression.", examples=["hello"]
    )
    json_: Any = Field(
        None, alias="json", description="Its value as JSON.", examples=[{"count": 3}]
    )
    file: Optional[str] = Field(
        None,
        description="A file with the same bytes, relative to the test file.",
        examples=["expected/orders.csv"],
    )
    size: Optional[int] = Field(None, ge=0, description="Its number of bytes.", examples=[1000])
    count: Optional[int] = Field(
        None,
        ge=0,
        description="For a prefix or folder: number of objects or files below it.",
        examples=[2],
    )
    names: Optional[list[str]] = Field(
        None,
        description="For a prefix or folder: the names below it, in any order.",
        examples=[["a.csv", "b.csv"]],
    )


class ExpectedObject(ExpectedFile):
    """Expected content and stored attributes of an object."""

    content_type: Optional[str] = Field(None, description="Its media type.", examples=["text/csv"])
    metadata: Optional[dict[str, str]] = Field(
        None, description="Its user metadata, all of it.", examples=[{"run": "1"}]
    )
    tags: Optional[dict[str, str]] = Field(
        None, description="Its tags, all of them.", examples=[{"team": "orders"}]
    )
    encryption: Optional[str] = Field(
        None, description="How it is encrypted: AES256, aws:kms.", examples=["aws:kms"]
    )
    storage_class: Optional[str] = Field(
        None, description="Its storage class.", examples=["STANDARD_IA"]
    )


def _fits_its_place(is_folder: bool, expected: ExpectedFile, name: str) -> None:
    expected_fields = expected.model_fields_set
    whole, one = (
        expected_fields & {"count", "names"},
        expected_fields - {"count", "names", "absent"},
    )
    if is_folder and one:
        raise ValueError(
            f"'{name}' is a prefix, which has 'count', 'names' or 'absent'; "
            "without the last '/' it is one object"
        )
    if not is_folder and whole:
        raise ValueError(f"'{min(whole)}' applies to a prefix or folder: write '{name}/'")
    if expected.absent and len(expected_fields) > 1:
        raise ValueError(
            f"'{name}' is expected to be absent, so nothing else can be expected of it"
        )


class ExpectedStep(StrictModel):
    """Expected result of a step; texts are patterns in which * matches anything."""

    status: Optional[StepStatus] = Field(None, description="Its status.", examples=["failed"])
    error: Optional[str] = Field(
        None, description="The type of its error.", examples=["AccessDenied"]
    )
    message: Optional[str] = Field(
        None, description="A part of its error message.", examples=["s3:GetObject"]
    )
    hint: Optional[str] = Field(
        None, description="A part of the hint of its error.", examples=["kms:Decrypt"]
    )
    reason: Optional[str] = Field(None, description="Why it was skipped.", examples=["when"])
    attempts: Optional[int] = Field(None, ge=0, description="Number of attempts.", examples=[2])
    outputs: dict[str, Any] = Field(
        default_factory=dict,
        description="Some of its outputs, as the result file shows them.",
        examples=[{"count": 3}],
    )


class ExpectedRefusal(StrictModel):
    """Requests that IAM refuses."""

    role: str = Field(
        description="The role that was refused: an alias, an ARN, or job.", examples=["partner"]
    )
    operation: Operation = Field(
        "*",
        description="The operation, by its name in the API; * matches any.",
        examples=["GetObject"],
    )
    bucket: str = Field("*", description="The bucket; * matches any text.", examples=["landing"])
    key: str = Field("*", description="The key; * matches any text.", examples=["orders/*"])


Messages = dict[str, list[str]]
"""The name or the ARN of a target -> a text of each of its messages."""


class ExpectedMessages(StrictModel):
    """Expected lines of the log, and messages that topics, queues and event buses take."""

    log: list[str] = Field(
        default_factory=list,
        description="Texts that lines of the log contain; * matches any text.",
        examples=[["counted*3"]],
    )
    topics: Messages = Field(
        default_factory=dict,
        description="Maps a topic to a text of each message, in any order, with * for any text. "
        "The subject is the first line. An empty list expects none.",
        examples=[{"ops": ["nightly failed at step fetch"]}],
    )
    queues: Messages = Field(
        default_factory=dict,
        description="Maps a queue to a text of each message.",
        examples=[{"alerts": ['"status":"failed"']}],
    )
    event_buses: Messages = Field(
        default_factory=dict,
        description="Maps an event bus to a text of each event: its source, its detail type and, "
        "on the next line, its detail.",
        examples=[{"default": ['rolerunner: Job Run Finished*"status":"failed"']}],
    )


class _ListForm(OwnSchema):
    """Marks a mapping that may be written as a list of texts."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "array", "items": {"type": "string"}}, handler(schema)]}


class Expectations(StrictModel):
    """The expectations of a run; only those given are checked.

    The status defaults to succeeded, unless ``exit`` or ``refusals`` are given.
    """

    status: Optional[RunStatus] = Field(
        None, description="Status of the run; succeeded by default.", examples=["failed"]
    )
    exit: Optional[int] = Field(
        None, ge=0, le=255, description="The exit status of `rolerunner run`.", examples=[4]
    )
    steps: dict[
        str, Annotated[ExpectedStep, BeforeValidator(_as_status), ShortForm(get_args(StepStatus))]
    ] = Field(
        default_factory=dict,
        description="Maps steps to their status, or to more expectations. Inside a group: "
        "GROUP[ITEM].STEP, GROUP.STEP for all items, GROUP[ITEM] for an item's status.",
        examples=[{"fetch": "failed"}, {"partners[north].fetch": "failed"}],
    )
    objects: dict[
        S3Location,
        Annotated[ExpectedObject, BeforeValidator(as_text), ShortForm()],
    ] = Field(
        default_factory=dict,
        description="Maps objects to their text or to more, and prefixes to count or names.",
        examples=[{"s3://publish/out/": {"count": 2}}],
    )
    files: dict[LocalFile, Annotated[ExpectedFile, BeforeValidator(as_text), ShortForm()]] = Field(
        default_factory=dict,
        description="Maps files of the working folder to their text or to more expectations.",
        examples=[{"out/a.csv": "id\n1\n"}],
    )
    partitions: dict[
        Annotated[str, Field(pattern=r"^[^.]+\.[^.]+$")],
        list[list[Annotated[str, Field(strict=True)]]],
    ] = Field(
        default_factory=dict,
        description="Maps tables to the values of all their partitions, in any order.",
        examples=[{"sales.orders": [["2026-01-31"]]}],
    )
    refusals: Optional[list[ExpectedRefusal]] = Field(
        None,
        description="All requests that IAM refuses; an empty list expects none.",
        examples=[[{"role": "partner", "operation": "GetObject"}]],
    )
    assume_role: dict[str, int] = Field(
        default_factory=dict,
        description="Maps roles to the number of times that they are assumed.",
        examples=[{"partner": 1}],
    )
    messages: Annotated[ExpectedMessages, BeforeValidator(_as_log), _ListForm()] = Field(
        default_factory=ExpectedMessages,
        description="Texts that lines of the log contain, with * for any text; or a mapping with "
        "those of the log, of topics, of queues and of event buses.",
        examples=[["counted*3"], {"topics": {"ops": ["nightly failed"]}}],
    )

    secrets: Optional[Literal["never shown"]] = Field(
        None,
        description="'never shown': no secret of the case is in the output, the result, or a file "
        "or object that the run wrote, in any usual encoding.",
        examples=["never shown"],
    )

    @model_validator(mode="after")
    def _each_fits_its_place(self) -> "Expectations":
        for uri, expected in self.objects.items():
            _fits_its_place(isinstance(uri, S3Uri) and uri.is_prefix, expected, str(uri))
        for name, each in self.files.items():
            _fits_its_place(name.endswith("/"), each, name)
        return self

    @property
    def run_status(self) -> Optional[str]:
        """The status to expect; None: any."""
        return self.status or (
            "succeeded" if self.exit is None and self.refusals in (None, []) else None
        )
