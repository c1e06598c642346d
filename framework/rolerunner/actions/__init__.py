"""The actions: one file each; this is their list."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from rolerunner.actions.python_call import PythonCall
from rolerunner.actions.s3_copy import S3Copy
from rolerunner.actions.s3_delete import S3Delete
from rolerunner.actions.s3_download import S3Download
from rolerunner.actions.s3_list import S3List
from rolerunner.actions.s3_read import S3Read
from rolerunner.actions.s3_upload import S3Upload
from rolerunner.actions.s3_wait import S3Wait
from rolerunner.actions.s3_write import S3Write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.actions.base import Action

_BUILT_IN: tuple[type[Action], ...] = (S3List, S3Download, S3Upload, S3Copy, S3Delete, S3Wait, S3Read, S3Write, PythonCall)


def registry() -> Mapping[str, type[Action]]:
    """Name, as ``action:`` says it -> action."""
    return MappingProxyType({action.kind: action for action in _BUILT_IN})
