"""The local Spark of a rehearsal: what it needs, and what pyspark is told."""

from __future__ import annotations

import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal import cluster
from rolerunner.glue.rehearsal.environment import Environment


@pytest.fixture
def stubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An awsglue of this machine, and a Java."""
    folder = tmp_path / "stubs/awsglue"
    folder.mkdir(parents=True)
    (folder / "job.py").write_text("")
    found = ModuleSpec("awsglue", None, is_package=True)
    found.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(cluster, "find_spec", lambda _: found)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    return folder


@pytest.mark.usefixtures("stubs")
def test_every_spark_runtime_has_a_spark() -> None:
    assert set(cluster.RELEASES) == {each.name for each in RUNTIMES.values() if each.is_spark}
    assert cluster.find_release(RUNTIMES["glue-5.1"]).packages == (
        "py4j==0.10.9.7",
        "pyspark==3.5.6",
    )


@pytest.mark.usefixtures("stubs")
def test_a_machine_without_java_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="needs Java 17: install it or set JAVA_HOME"):
        cluster.find_release(RUNTIMES["glue-5.1"])


@pytest.mark.usefixtures("stubs")
def test_a_machine_without_awsglue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="install awsglue-local-stubs"):
        cluster.find_release(RUNTIMES["glue-5.1"])


@pytest.mark.usefixtures("stubs")
@pytest.mark.parametrize("archives", [(), ("code.zip", "other.zip")])
def test_executors_get_the_code_and_logs_stay_out_of_the_shared_environment(
    archives: tuple[str, ...], tmp_path: Path
) -> None:
    base, layer = Environment(tmp_path / "base"), Environment(tmp_path / "layer")
    for each in (base, layer):
        (each.folder / "lib/python3.11/site-packages").mkdir(parents=True)
    for name in ("bin", "work"):
        (base.packages / "pyspark" / name).mkdir(parents=True)
    code = [tmp_path / name for name in archives]
    s3a = cluster.RELEASES["glue-5.1"] if archives else None
    variables = cluster.prepare_cluster(base, layer, code, tmp_path, s3a)
    home = Path(variables["SPARK_HOME"])
    assert [path.name for path in home.iterdir()] == ["bin"]
    assert (layer.packages / "awsglue/job.py").exists()
    assert variables["PYSPARK_PYTHON"] == str(layer.python)
    options = variables["PYSPARK_SUBMIT_ARGS"].split()
    assert (options[:2], options[-1]) == (["--master", "local-cluster[1,2,1024]"], "pyspark-shell")
    if not archives:
        assert len(options) == 3
        return
    assert options[2:4] == ["--py-files", ",".join(map(str, code))]
    assert options[4:6] == ["--packages", "org.apache.hadoop:hadoop-aws:3.3.4"]
