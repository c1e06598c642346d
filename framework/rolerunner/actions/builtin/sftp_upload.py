"""Defines the action ``sftp.upload``."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional

from pydantic import model_validator

from rolerunner.actions.base import (
    Action,
    Field,
    StepContext,
    handle_empty_source,
    note_removal,
)
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.object_names import NameFields
from rolerunner.actions.object_plans import (
    Report,
    check_not_empty,
    report_left_out,
    report_refused,
)
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.permissions import list_permission, source_permissions
from rolerunner.actions.sftp_fields import RemotePath, SftpFields, SftpTargetFields
from rolerunner.actions.sftp_uploads import SftpUploads
from rolerunner.actions.shared_fields import SourceFields, TransferFields
from rolerunner.actions.source_objects import (
    OnLeftOut,
    SourceObjects,
    check_one_source,
    collect_source,
)
from rolerunner.actions.transfer_size import TransferSizeFields
from rolerunner.model import Permission, StepDatasets
from rolerunner.sftp.server import describe_dataset
from rolerunner.spec.field_types import CustomerKey, Flag
from rolerunner.storage.protocol import Storage


class SftpUpload(
    SftpFields,
    SftpTargetFields,
    SourceFields,
    FilterFields,
    NameFields,
    TransferFields,
    TransferSizeFields,
    Action,
):
    """Copy objects of S3 to an SFTP server under a role.

    The server's key is verified before the user is authenticated. Objects are streamed: the disk is
    not used, and memory stays bounded. A file is written under a temporary name beside its own
    (``.NAME.16 DIGITS.part``), its size is compared, and it is renamed, so no half file has its
    name. When the connection is lost, or a run with a run key is killed, a large file is continued
    where it ended, if the object is still the same; its last megabytes are compared first. Missing
    folders are created. A step that is retried or resumed skips files of the same size and time.
    """

    kind: ClassVar[str] = "sftp.upload"
    sends_data_out: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "host_key": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "private_key": "${{ params.sftp_key }}",
        "source": "s3://publish/orders/",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "files": "the folder (or the one file) on the server, as an sftp:// URL",
        "count": "how many files were written",
        "bytes": "how many bytes were written",
        "skipped": "how many already existed",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "files": "sftp://sftp.example.com/incoming/",
        "count": 1,
        "bytes": 1,
        "skipped": 1,
    }

    target: RemotePath = Field(
        description=(
            "The folder on the server to write to, which ends with '/'; for a single object also"
            " the file. Without '/' in front it begins at the user's own folder."
        ),
        examples=["/incoming/orders/"],
    )
    keep_times: Flag = Field(
        True,
        description=(
            "Set the files' modification times to those of the objects, where the server lets"
            " the user do that."
        ),
        examples=[False],
    )
    move: Flag = Field(
        False,
        description=(
            "Delete each object once its file is complete on the server, if the object has not"
            " changed."
        ),
        examples=[True],
    )
    customer_key: Optional[CustomerKey] = Field(
        None,
        description="The SSE-C key of the objects in base64, preferably from a param.",
        examples=["${{ params.customer_key }}"],
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "SftpUpload":
        check_one_source(self.source, self.objects, self.kind)
        several = getattr(self.source, "is_prefix", False) or (
            isinstance(self.objects, list) and len(self.objects) > 1
        )
        if several and isinstance(self.target, str) and not self.target.endswith(("/", "*")):
            raise ValueError(
                f"'target' must end with '/' for several objects: write '{self.target}/'"
            )
        return self

    def goes_to_folder(self) -> bool:
        """Returns True if files go below the target, which is then a folder."""
        return self.target.endswith("/") or self.renames

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists the objects, then copies them."""
        pacer = self.flow()
        storage, large = (self._open_storage(context, pacer) for _ in range(2))
        gathered = self._collect(storage, context)
        with self.open_sessions(context) as sessions:
            place = sessions.server.url(self.target)
            what = str(self.source or "the listed objects")
            if gathered.total == 0:
                handle_empty_source(self.on_empty, what, context)
                return {"files": place, "count": 0, "bytes": 0, "skipped": 0}
            self.check_file_count(gathered.total, "objects")
            sessions.connect()
            transfers = SftpUploads(self, gathered, sessions, (storage, large), context)
            transfers.check_targets()
            self.check_transfer_size(transfers.plan)
            if self.move and self.source is not None:
                note_removal(what, context)
            done = record_outcomes(
                transfers.transfer(), context, gathered.objects.prefix, self, pacer, gathered
            )
        return done.outputs(files=place, skipped=done.skipped)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Listing and reading the source; deleting it if it is moved."""
        listed = [list_permission(self.source)] if self.source is not None else []
        read = source_permissions("s3:GetObject", self.source, self.objects)
        deleted = (
            source_permissions("s3:DeleteObject", self.source, self.objects) if self.move else []
        )
        return {"role": [*listed, *read, *deleted]}

    def list_datasets(self) -> StepDatasets:
        """Returns the target on the server."""
        return StepDatasets(outputs=(describe_dataset(self.host, self.port, self.target),))

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes of the objects."""
        return self._collect(self._open_storage(context), context).summary()

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports what would be written, skipped and left out. Raises StepError."""
        storage = self._open_storage(context)
        left_out = report_left_out(self.source, self.objects, report)
        gathered = self._collect(storage, context, left_out)
        check_not_empty(gathered, self, context)
        report_refused(gathered, report)
        with self.open_sessions(context) as sessions:
            transfers = SftpUploads(self, gathered, sessions, (storage, storage), context)
            transfers.check_targets()
            self.check_transfer_size(transfers.plan)
            transfers.plan(report)

    def _collect(
        self, storage: Storage, context: StepContext, on_left_out: Optional[OnLeftOut] = None
    ) -> SourceObjects:
        return collect_source(
            self.source, self.objects, self.selection(), storage, context, on_left_out=on_left_out
        )

    def _open_storage(self, context: StepContext, pacer: Any = None) -> Storage:
        return context.storage(access=self.access(customer_key=self.customer_key), flow=pacer)
