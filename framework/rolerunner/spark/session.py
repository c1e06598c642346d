"""Creates the SparkSession, and extracts reasons from Java errors."""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import sys
import threading
from typing import Any

from rolerunner.errors import StepError
from rolerunner.spark.requirements import find_obstacle

_SESSION_LOCK = threading.Lock()
SPARK_HINT = (
    "it runs in a Spark job of Glue (glueetl), and on a laptop with pyspark and Java: pip "
    "install pyspark"
)


def get_session() -> Any:
    """Returns the existing SparkSession, as in Glue, or a new local one.

    Raises StepError without Spark.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise StepError("pyspark is not installed", hint=SPARK_HINT, type="NoSpark")
    with _SESSION_LOCK:
        return _create_session()


def _create_session() -> Any:
    from pyspark import SparkConf, SparkContext  # noqa: PLC0415 - a large library that few steps need
    from pyspark.sql import SparkSession  # noqa: PLC0415

    if SparkContext._active_spark_context is not None:  # noqa: SLF001 - the active session is another one in each thread
        return SparkSession.builder.getOrCreate()
    try:
        SparkContext._ensure_initialized()  # noqa: SLF001 - the JVM tells what spark-submit and its files have set
        conf = SparkConf()
        for name, value in _LOCAL_DEFAULTS.items():
            conf.setIfMissing(name, value)
        conf.set("spark.ui.showConsoleProgress", "false")  # the run shows its own
        session = SparkSession.builder.config(conf=conf).getOrCreate()
    except Exception as error:  # pyspark has no common error for a JVM that does not start
        raise StepError(
            f"Spark does not start: {find_reason(error)}",
            hint=find_obstacle() or "the lines above it in the output may tell the reason",
            type="NoSpark",
        ) from error
    if conf.get("spark.master", "").startswith("local"):
        _configure_local(session)
    return session


def _configure_local(session: Any) -> None:
    """Makes a local Spark use this Python, log nothing, and end with the process."""
    atexit.register(session.stop)
    session.sparkContext.setLogLevel("FATAL")  # the step reports errors, without ten pages of Java
    if "PYSPARK_PYTHON" not in os.environ:
        session.sparkContext.pythonExec = sys.executable


_LOCAL_DEFAULTS = {
    "spark.master": "local[*]",
    "spark.app.name": "rolerunner",
    "spark.ui.enabled": "false",
}


_CAUSES = (
    re.compile(r"^((?:[\w.]+\.)?\w*(?:Error|Exception)\b: .+)$", re.MULTILINE),
    re.compile(r"most recent failure: (.+)", re.IGNORECASE),
)


def find_reason(error: BaseException) -> str:
    """Returns the line of a long Java error that gives the reason."""
    java = getattr(error, "java_exception", None)
    text = str(java.getMessage() or java.toString()) if java is not None else str(error)
    lost = _CAUSES[1].search(text)
    python = _CAUSES[0].findall(text.partition("Driver stacktrace")[0])
    if python and "PythonException" in text:
        return str(python[-1])
    if lost:
        return lost.group(1)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
