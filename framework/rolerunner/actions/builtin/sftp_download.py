"""Defines the action ``sftp.download``."""

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
from rolerunner.actions.object_plans import Report
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.sftp_downloads import SftpDownloads, list_files
from rolerunner.actions.sftp_fields import RemotePath, SftpFields, SftpTargetFields, Symlinks
from rolerunner.actions.shared_fields import OnEmpty, TransferFields
from rolerunner.actions.transfer_size import TransferSizeFields
from rolerunner.model import Permission, S3Uri, StepDatasets
from rolerunner.selection.manifest import EMPTY_LIST, placeholder_list
from rolerunner.sftp.server import describe_dataset
from rolerunner.spec.field_types import Flag, S3Location


class SftpDownload(
    SftpFields,
    SftpTargetFields,
    FilterFields,
    NameFields,
    PutFields,
    TransferFields,
    TransferSizeFields,
    Action,
):
    """Copy files of an SFTP server to S3 under a role.

    The server's key is verified before the user is authenticated. Files are streamed: the disk is
    not used, and memory stays bounded. Several files are in flight at once, and ranges of large
    ones; when the connection is lost, only what was in flight is read again. An object appears when
    it is complete. A file that changes while it is read is a failure. Only regular files are read.
    A step that is retried or resumed skips the objects that it has stored, if its role may look
    them up.
    """

    kind: ClassVar[str] = "sftp.download"
    stores_objects: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "host_key": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "password": "${{ params.sftp_password }}",
        "include": ["*.csv"],
        "min_age": "5m",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects at the target, for other steps",
        "count": "how many files were stored",
        "bytes": "how many bytes were stored",
        "skipped": "how many already existed",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST,
        "count": 1,
        "bytes": 1,
        "skipped": 1,
    }

    source: RemotePath = Field(
        description=(
            "A folder on the server, which ends with '/', or a file. Without '/' in front it begins"
            " at the user's own folder."
        ),
        examples=["/outgoing/orders/"],
    )
    target: S3Location = Field(
        description=(
            "The prefix to write under, which ends with '/'; for a single file also the object."
        ),
        examples=["s3://landing/orders/"],
    )
    symlinks: Symlinks = Field(
        "skip",
        description="What to do with symbolic links on the server: skip, follow or error.",
        examples=["error"],
    )
    keep_times: Flag = Field(
        True,
        description="Store the files' modification times as metadata (mtime), as rclone does.",
        examples=[False],
    )
    move: Flag = Field(
        False,
        description=(
            "Delete each file from the server once its object is verified, if the file still has"
            " the size and time that it was copied with."
        ),
        examples=[True],
    )
    on_empty: OnEmpty = Field(
        "error", description="What to do when nothing matches: error, warn or ok.", examples=["ok"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "SftpDownload":
        self.check_times()
        if self.move is True and self.symlinks == "follow":
            raise ValueError("'move' cannot be combined with 'symlinks: follow'")
        return self

    def goes_to_folder(self) -> bool:
        """Returns True if files go below the target, which is then a prefix."""
        return self.source.endswith("/") or self.renames

    def _may_go_to_folder(self) -> Optional[bool]:
        """Returns None if only the run can tell; a text with ``*`` is not known yet."""
        return None if self.source.endswith("*") else self.goes_to_folder()

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists the files, then copies them."""
        pacer = self.flow()
        storage = context.storage(access=self.access(customer_key=self.stored_key), flow=pacer)
        large = context.storage(access=self.access(customer_key=self.stored_key), flow=pacer)
        with self.open_sessions(context) as sessions:
            gathered = list_files(self, sessions, context)
            place = resolve_target(self.target, to_folder=self.goes_to_folder())
            what = sessions.server.url(self.source)
            if gathered.total == 0:
                handle_empty_source(self.on_empty, what, context)
                empty = {"count": 0, "bytes": 0, "skipped": 0}
                return {"objects": placeholder_list(place), **empty}
            transfers = SftpDownloads(self, gathered, sessions, (storage, large), context)
            transfers.check_targets()
            self.check_transfer_size(transfers.plan)
            if self.move:
                note_removal(what, context)
            done = record_outcomes(transfers.transfer(), context, place, self, pacer, gathered)
        return done.outputs(objects=done.objects, skipped=done.skipped)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Storing objects, and looking for existing ones if the options need it."""
        return {
            "role": [
                each
                for place in possible_targets(self.target, to_folder=self._may_go_to_folder())
                for each in self._permissions_on(place)
            ]
        }

    def _permissions_on(self, place: S3Uri) -> list[Permission]:
        written = self.put_permissions(place)
        if self.move or self.if_exists in ("skip", "skip_same"):
            written += [list_permission(place), object_permission("s3:GetObject", place)]
        return written

    def list_datasets(self) -> StepDatasets:
        """Returns the source on the server."""
        return StepDatasets(inputs=(describe_dataset(self.host, self.port, self.source),))

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the list of objects under the target."""
        place = resolve_target(self.target, to_folder=self.goes_to_folder())
        return {"objects": placeholder_list(place, versions=None)}

    def list_read_fields(self) -> tuple[str, ...]:
        """Returns no fields: the source is not in S3."""
        return ()

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes of the files."""
        with self.open_sessions(context) as sessions:
            return list_files(self, sessions, context).summary()

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports what would be stored and skipped. Raises StepError."""
        storage = context.storage(access=self.access(customer_key=self.stored_key))
        with self.open_sessions(context) as sessions:
            gathered = list_files(self, sessions, context)
            if gathered.total == 0:
                handle_empty_source(self.on_empty, sessions.server.url(self.source), context)
            transfers = SftpDownloads(self, gathered, sessions, (storage, storage), context)
            transfers.check_targets()
            self.check_transfer_size(transfers.plan)
            transfers.plan(report)
