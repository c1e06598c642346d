"""The files of the public repository: workflows, templates, policies."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rolerunner._version import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = pytest.mark.once


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


FORMS = [
    path
    for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    if path.stem != "config"
]
TEMPLATE = ROOT / "framework" / "rolerunner" / "template" / ".github" / "workflows" / "check.yaml"


@pytest.mark.parametrize(
    ("schema", "paths"),
    [("vendor.github-workflows", [*WORKFLOWS, TEMPLATE]), ("vendor.github-issue-forms", FORMS)],
    ids=["workflows", "issue forms"],
)
def test_files_for_github_pass_its_published_schemas(schema: str, paths: list[Path]) -> None:
    pytest.importorskip("check_jsonschema", reason="a development dependency")
    assert paths
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        schema,
        *map(str, paths),
    ]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_ci_covers_every_python_that_setup_declares() -> None:
    declared = re.findall(r"range\((\d+), (\d+)\)", (ROOT / "setup.py").read_text())[0]
    jobs = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    tested = set(jobs["test"]["strategy"]["matrix"]["python"]) | set(
        jobs["all"]["steps"][1]["with"]["python-version"].split()
    )
    assert tested == {f"3.{minor}" for minor in range(int(declared[0]), int(declared[1]))}


def test_only_the_publishing_job_may_ask_for_an_identity() -> None:
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            assert ("id-token" in job.get("permissions", {})) == (name == "publish"), (
                f"{path.name}: {name}"
            )


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_each_field_of_an_issue_form_has_an_id_of_its_own(path: Path) -> None:
    ids = [element["id"] for element in load(path)["body"] if element["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0


def test_commit_hooks_are_the_checks_of_make_lint() -> None:
    (repo,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = {hook["entry"].split()[0].rpartition("/")[2] for hook in repo["hooks"]}
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert hooks == set(re.findall(r"\$\(BIN\)/([\w-]+)", recipe[1]))


def test_the_changelog_has_the_version_that_setup_gives() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert __version__ in headings


def test_project_urls_and_the_site_name_one_repository() -> None:
    site = (ROOT / "mkdocs.yml").read_text()
    setup = (ROOT / "setup.py").read_text()
    (repository,) = re.findall(r"^repo_url: (\S+)$", site, re.MULTILINE)
    (address,) = re.findall(r"^site_url: (\S+)$", site, re.MULTILINE)
    assert f'PROJECT = "{repository}"' in setup
    assert f'"Documentation": "{address}"' in setup
    for link in re.findall(r"^\[.+\]: (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE):
        assert link.startswith(repository + "/")
