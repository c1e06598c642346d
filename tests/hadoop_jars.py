"""Hadoop's S3A and the AWS SDK for Java, fetched by Maven once into its own cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Optional

JARS = {
    "3.3.2": (
        "org.apache.hadoop:hadoop-aws:3.3.2",
        "com.amazonaws:aws-java-sdk-bundle:1.11.1026",
    ),
    "3.3.4": (
        "org.apache.hadoop:hadoop-aws:3.3.4",
        "com.amazonaws:aws-java-sdk-bundle:1.12.262",
        "org.apache.spark:spark-hadoop-cloud_2.12:3.5.5",
    ),
    "3.4.2": (
        "org.apache.hadoop:hadoop-aws:3.4.2",
        "software.amazon.awssdk:bundle:2.29.52",
        "org.apache.spark:spark-hadoop-cloud_2.13:4.1.1",
    ),
}
"""Version of Hadoop -> artifacts. There is no spark-hadoop-cloud for Spark 3.3."""


def find_jars(hadoop: str) -> Optional[list[Path]]:
    """Returns the jars for a version of Hadoop; None without Maven."""
    if not shutil.which("mvn"):
        return None
    return [_find_jar(artifact) for artifact in JARS[hadoop]]


def _find_jar(artifact: str) -> Path:
    group, name, version = artifact.split(":")
    repository = Path(os.environ.get("MAVEN_REPOSITORY") or Path.home() / ".m2/repository")
    jar = repository.joinpath(*group.split("."), name, version, f"{name}-{version}.jar")
    if not jar.exists():
        command = ["mvn", "-q", "-B", "dependency:get", f"-Dartifact={artifact}"]
        subprocess.run([*command, "-Dtransitive=false"], check=True, timeout=600)
    return jar
