"""botocore's sessions, imported without 38 modules that a run hardly uses.

Those document clients for ``help()``, wait for resources, parse files of settings, and look up the
versions of packages. Each is imported when it is first used. The modules of this package import
these names here, so that the first of them does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.common.deferred_imports import defer_imports

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "Config",
    "CredentialProvider",
    "CredentialResolver",
    "Credentials",
    "HierarchicalEmitter",
    "ReadOnlyCredentials",
    "Session",
]

_DEFERRED: Mapping[str, Collection[str]] = {
    "botocore.docs.bcdoc.restdoc": ("DocumentStructure",),
    "botocore.docs.method": ("document_model_driven_method",),
    "botocore.docs.paginator": ("document_paginate_method",),
    "botocore.docs.service": ("ServiceDocumenter",),
    "botocore.docs.waiter": ("document_wait_method",),
    "botocore.retries.adaptive": (),
    "botocore.waiter": (),
    "configparser": (),
    "importlib.metadata": ("version",),
    "jmespath": (),
}
with defer_imports(_DEFERRED):
    from botocore.config import Config
    from botocore.credentials import (
        CredentialProvider,
        CredentialResolver,
        Credentials,
        ReadOnlyCredentials,
    )
    from botocore.hooks import HierarchicalEmitter
    from botocore.session import Session
