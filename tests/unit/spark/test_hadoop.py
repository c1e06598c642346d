"""Facts about the JVM's Hadoop, and the endpoint of its SDK."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.spark.hadoop import COMMIT_PROTOCOL, PARQUET_COMMITTER, Hadoop, use_committer

DEFAULT_PROTOCOL = "org.apache.spark.sql.execution.datasources.SQLHadoopMapReduceCommitProtocol"


class JavaPackage:
    """py4j's value for a name that is no class."""


class JavaClass:
    """A class of the JVM."""


class S3aConstants:
    """Hadoop's S3A without external ids."""

    @property
    def ASSUMED_ROLE_EXTERNAL_ID(self) -> str:  # noqa: N802 - Hadoop's name
        raise AttributeError


class Properties(dict[str, str]):
    """Java's System."""

    def getProperty(self, name: str) -> Any:  # noqa: N802
        return self.get(name)

    def setProperty(self, name: str, value: str) -> None:  # noqa: N802
        self[name] = value

    def getenv(self, _: str) -> None:
        return None


def make_hadoop(
    version: str = "3.3.4",
    *,
    master: str = "local[2]",
    constants: Any = None,
    protocol: Any = None,
    configured: str = DEFAULT_PROTOCOL,
    sdk: str = "2.29.52",
    committers: Any = None,
) -> tuple[Hadoop, Properties]:
    system = Properties()
    packages = SimpleNamespace(
        util=SimpleNamespace(VersionInfo=SimpleNamespace(getVersion=lambda: version)),
        fs=SimpleNamespace(s3a=SimpleNamespace(Constants=constants or JavaPackage())),
    )
    cloud = SimpleNamespace(PathOutputCommitProtocol=protocol or JavaPackage())
    spark = SimpleNamespace(internal=SimpleNamespace(io=SimpleNamespace(cloud=cloud)))
    util = SimpleNamespace(VersionInfo=SimpleNamespace(SDK_VERSION=sdk))
    amazon = SimpleNamespace(awssdk=SimpleNamespace(core=SimpleNamespace(util=util)))
    jvm = SimpleNamespace(
        org=SimpleNamespace(apache=SimpleNamespace(hadoop=packages, spark=spark)),
        software=SimpleNamespace(amazon=amazon),
        java=SimpleNamespace(lang=SimpleNamespace(System=system)),
    )
    jsc = SimpleNamespace(hadoopConfiguration=lambda: committers or {})
    context = SimpleNamespace(_jvm=jvm, _jsc=jsc, master=master)
    conf = SimpleNamespace(get=lambda _: configured)
    return Hadoop(SimpleNamespace(sparkContext=context, conf=conf)), system


@pytest.mark.parametrize(
    ("version", "sdk"),
    [("2.10.1", 1), ("3.3.6-amzn-1", 1), ("3.4.0", 2), ("3.10.0", 2), ("4.0", 2)],
)
def test_the_sdk_is_that_of_hadoops_version(version: str, sdk: int) -> None:
    assert make_hadoop(version)[0].sdk == sdk


@pytest.mark.parametrize(
    ("master", "is_local"),
    [("local", True), ("local[*]", True), ("local-cluster[2,1,1024]", False), ("yarn", False)],
)
def test_one_jvm_is_local(master: str, is_local: bool) -> None:
    assert make_hadoop(master=master)[0].is_local is is_local


@pytest.mark.parametrize(
    ("constants", "has_them"),
    [
        (None, True),
        (SimpleNamespace(ASSUMED_ROLE_EXTERNAL_ID="x"), True),
        (S3aConstants(), False),
    ],
    ids=["no S3A", "new", "old"],
)
def test_external_ids_depend_on_hadoops_version(constants: Any, has_them: bool) -> None:
    assert make_hadoop(constants=constants)[0].has_external_ids is has_them


def test_version_2_of_the_sdk_has_its_endpoint_in_a_property() -> None:
    hadoop, system = make_hadoop("3.4.2")
    hadoop.set_sts_endpoint("http://127.0.0.1:1", "eu-west-1")
    assert system == {"aws.endpointUrlSts": "http://127.0.0.1:1", "aws.region": "eu-west-1"}
    system["aws.region"] = "us-east-1"
    hadoop.set_sts_endpoint("http://127.0.0.1:2", "eu-west-1")
    assert system == {"aws.endpointUrlSts": "http://127.0.0.1:2", "aws.region": "us-east-1"}


def test_version_1_of_the_sdk_has_it_in_the_settings() -> None:
    hadoop, system = make_hadoop("3.3.4")
    hadoop.set_sts_endpoint("http://127.0.0.1:1", "eu-west-1")
    assert system == {}


def test_an_sdk_without_that_property_is_refused() -> None:
    hadoop, system = make_hadoop("3.4.1", sdk="2.24.6")
    with pytest.raises(StepError, match=r"AWS SDK 2\.24\.6") as caught:
        hadoop.set_sts_endpoint("http://127.0.0.1:1", "eu-west-1")
    assert (caught.value.type, system) == ("OldSdk", {})
    assert "software.amazon.awssdk:bundle:2.29.52" in caught.value.hint


def test_a_committer_is_used_where_spark_has_one_and_none_is_configured() -> None:
    found = make_hadoop(protocol=JavaClass())[0].find_committer("s3a-01")
    assert found["fs.s3a.committer.name"] == "magic"
    assert found["mapreduce.outputcommitter.factory.scheme.s3a-01"].endswith("S3ACommitterFactory")
    assert make_hadoop()[0].find_committer("s3a-01") == {}
    newer = make_hadoop(protocol=JavaClass(), configured=COMMIT_PROTOCOL)[0]
    assert newer.find_committer("s3a-01") == found
    glue = make_hadoop(protocol=JavaClass(), configured="com.amazon.Own")[0]
    assert glue.find_committer("s3a-01") == {}


def test_the_committer_is_set_for_one_session() -> None:
    conf: dict[str, str] = {}
    use_committer(SimpleNamespace(conf=SimpleNamespace(set=conf.__setitem__)))
    assert conf == {
        "spark.sql.sources.commitProtocolClass": COMMIT_PROTOCOL,
        "spark.sql.parquet.output.committer.class": PARQUET_COMMITTER,
    }


def test_a_configured_committer_of_s3a_stays() -> None:
    committers = {"fs.s3a.committer.name": "directory"}
    hadoop, _ = make_hadoop(protocol=JavaClass(), committers=committers)
    assert hadoop.find_committer("s3a-01")["fs.s3a.committer.name"] == "directory"
