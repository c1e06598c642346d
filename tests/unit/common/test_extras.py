from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from rolerunner.common import extras

METADATA = [
    "boto3>=1.21.21",
    'click>=8.1; extra == "cli"',
    'aws-embedded-metrics>=3.2; extra == "metrics"',
    'aws-embedded-metrics>=3.2; extra == "test"',
    "opentelemetry-sdk>=1.30 ; extra == 'traces'",
    'opentelemetry-exporter-otlp-proto-http>=1.30; extra == "traces"',
    'backports.zstd>=1.0; python_version < "3.14" and extra == "zstd"',
]


@pytest.mark.parametrize(
    ("extra", "requirements", "packages"),
    [
        ("metrics", ("aws-embedded-metrics>=3.2",), ("aws-embedded-metrics",)),
        (
            "traces",
            ("opentelemetry-sdk>=1.30", "opentelemetry-exporter-otlp-proto-http>=1.30"),
            ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
        ),
        ("zstd", ('backports.zstd>=1.0; python_version < "3.14"',), ("backports.zstd",)),
        ("unknown", (), ()),
    ],
)
def test_requirements_are_those_of_the_metadata(
    extra: str,
    requirements: tuple[str, ...],
    packages: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extras, "requires", lambda _: METADATA)
    assert extras.read_requirements(extra) == requirements
    assert extras.list_packages(extra) == packages


def test_extras_of_the_installed_package_and_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extras.list_packages("lineage") == ("openlineage-python",)

    def raise_error(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", raise_error)
    assert extras.read_requirements("lineage") == ()
