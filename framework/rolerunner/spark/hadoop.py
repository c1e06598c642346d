"""Asks a running JVM about its Hadoop, and points its SDK at endpoints."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from rolerunner.errors import StepError

COMMIT_PROTOCOL = "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol"
PARQUET_COMMITTER = "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter"
_PROTOCOL_SETTING = "spark.sql.sources.commitProtocolClass"
_PARQUET_SETTING = "spark.sql.parquet.output.committer.class"
_COMMITTER_SETTING = "fs.s3a.committer.name"
_OWN_PROTOCOL = "SQLHadoopMapReduceCommitProtocol"
"""Spark's default, which writes below a temporary folder and renames."""
_FIRST_WITH_ENDPOINTS = (2, 28, 1)
"""First version of the AWS SDK for Java 2 that reads an endpoint of STS from a property."""


@dataclass(frozen=True)
class Hadoop:
    """The Hadoop of a SparkSession."""

    session: Any

    @property
    def version(self) -> str:
        """Returns Hadoop's version, such as 3.3.4."""
        return str(self._jvm.org.apache.hadoop.util.VersionInfo.getVersion())

    @property
    def sdk(self) -> int:
        """Returns the major version of the AWS SDK for Java that this Hadoop uses."""
        return 2 if _parse_version(self.version)[:2] >= (3, 4) else 1

    @property
    def is_local(self) -> bool:
        """Returns True if there is one JVM, on this machine."""
        return re.match(r"local(\[|\Z)", str(self.session.sparkContext.master)) is not None

    @property
    def has_external_ids(self) -> bool:
        """Returns True if S3A sends an external id, which it does since HADOOP-19201."""
        constants = self._jvm.org.apache.hadoop.fs.s3a.Constants
        if not _is_class(constants):
            return True  # there is no S3A at all, which the first read says better
        try:
            return bool(constants.ASSUMED_ROLE_EXTERNAL_ID)
        except Exception:  # noqa: BLE001 - py4j's error for a name that is not there
            return False

    def set_sts_endpoint(self, url: str, region: str) -> None:
        """Sets where S3A's requests to STS go in this JVM. Raises StepError.

        S3A with version 2 of the SDK has no setting for an endpoint without TLS.
        """
        if self.sdk == 1:
            return
        info = self._jvm.software.amazon.awssdk.core.util.VersionInfo
        version = str(info.SDK_VERSION) if _is_class(info) else ""
        if version and _parse_version(version) < _FIRST_WITH_ENDPOINTS:
            raise StepError(
                f"the AWS SDK {version} of this Spark cannot ask rolerunner for sessions",
                hint="it can since 2.28.1: start Spark with --packages "
                "software.amazon.awssdk:bundle:2.29.52",
                type="OldSdk",
            )
        system = self._jvm.java.lang.System
        system.setProperty("aws.endpointUrlSts", url)
        if not (system.getProperty("aws.region") or system.getenv("AWS_REGION")):
            system.setProperty("aws.region", region)

    def close_connection(self, scheme: str, bucket: str) -> None:
        """Closes the JVM's cached connection to a bucket, if there is one."""
        uri = self._jvm.java.net.URI.create(f"{scheme}://{bucket}")
        with contextlib.suppress(Exception):  # py4j's error: none was opened
            self._jvm.org.apache.hadoop.fs.FileSystem.get(uri, self._configuration).close()

    def find_committer(self, scheme: str) -> dict[str, str]:
        """Returns the options of a write that S3A commits by completing uploads, not by renaming.

        Empty where Spark has no such committer, or its configuration names another commit protocol,
        as in Glue. A committer that is configured for S3A stays.
        """
        protocol = self._jvm.org.apache.spark.internal.io.cloud.PathOutputCommitProtocol
        configured = str(self.session.conf.get(_PROTOCOL_SETTING))
        if not _is_class(protocol) or not configured.endswith((_OWN_PROTOCOL, COMMIT_PROTOCOL)):
            return {}
        name = str(self._configuration.get(_COMMITTER_SETTING) or "file")
        return {
            f"mapreduce.outputcommitter.factory.scheme.{scheme}": (
                "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory"
            ),
            _COMMITTER_SETTING: "magic" if name == "file" else name,
            "fs.s3a.committer.magic.enabled": "true",
            # it would abort those of other jobs under the same prefix
            "fs.s3a.committer.abort.pending.uploads": "false",
        }

    @property
    def _configuration(self) -> Any:
        return self.session.sparkContext._jsc.hadoopConfiguration()  # noqa: SLF001 - the way into the JVM

    @property
    def _jvm(self) -> Any:
        return self.session.sparkContext._jvm  # noqa: SLF001 - the way into the JVM


def use_committer(session: Any) -> None:
    """Makes the writes of a session leave the commit to Hadoop's committer for their path."""
    session.conf.set(_PROTOCOL_SETTING, COMMIT_PROTOCOL)
    session.conf.set(_PARQUET_SETTING, PARQUET_COMMITTER)


def _is_class(found: Any) -> bool:
    """Returns True for a class of the JVM: for any other name py4j returns a package."""
    return type(found).__name__ != "JavaPackage"


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", text)[:3])
