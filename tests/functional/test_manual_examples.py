"""Every example of the manual: specs and sandbox files load, commands print the shown output."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.audit import audit_plan
from rolerunner.spec_testing.load import load_cases
from rolerunner.spec_testing.run import run_case
from tests import coming_from
from tests import memory_aws as memory_aws_module
from tests.conftest import CONFIGS, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.once

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = [ROOT / "docs" / "tutorial.md", ROOT / "docs" / "tutorial-nightly.md"]
"""Their commands follow one another: see test_tutorial.py."""
RUNNABLE = [page for page in PAGES if page not in TUTORIALS]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# (file|sandbox|test): (\S+)\n")
# what differs from run to run: run ids, times, and request ids
VARYING = re.compile(
    r"\d{8}T\d{6}Z-[0-9a-f]{6}|\d+\.\d\d(?= s\b|\s|$)|(?<=seconds=)[\d.]+|\d+ ms|"
    r"[0-9a-f]{8}-[0-9a-f-]{27}"
)


def find_blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def test_no_table_is_interrupted() -> None:
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
        assert all(re.match(r".*\n\|[ :|-]+\|\n", each) for each in tables), page


def test_comments_that_ignore_findings_stand_where_they_count(tmp_path: Path) -> None:
    examples = [
        text for page in PAGES for text in find_blocks(page, "yaml") if "rolerunner: ignore" in text
    ]
    assert examples
    for text in examples:
        spec = tmp_path / "spec.yaml"
        spec.write_text(text)
        job = api.load(spec, complete=False)
        findings = audit_plan(api.plan(job), api.load_documents(spec))
        assert [str(each) for each in findings if each.rule == "RR000"] == []


def normalize_line(line: str) -> str:
    return re.sub(r"\s+", " ", VARYING.sub("~", line.rstrip()))


def assert_printed(printed: list[str], output: str) -> None:
    """The lines are in the output, in this order; ``...`` stands for lines left out."""
    actual = iter(normalize_line(line) for line in output.splitlines())
    for line in printed:
        if line != "...":
            assert normalize_line(line) in actual, f"{line!r} is not (there) in:\n{output}"


def run_test_file(path: Path) -> bool:
    """Do the cases of a test file among the configs pass?"""
    for config in (*CONFIGS.glob("*.yaml"), ROOT / "jobs"):
        (path.parent / config.name).symlink_to(config)
    return all(run_case(case).has_passed for case in load_cases([path], path.parent / "runs"))


EXAMPLES = [(page, text) for page in RUNNABLE for text in find_blocks(page, "yaml")]
CONSOLES = [(page, text) for page in RUNNABLE for text in find_blocks(page, "console")]


@pytest.mark.parametrize(
    ("page", "text"),
    EXAMPLES,
    ids=[f"{page.name}-{number}" for number, (page, _) in enumerate(EXAMPLES)],
)
def test_a_yaml_example_is_right(page: Path, text: str, tmp_path: Path) -> None:
    kind, name = NAMED.match(text).groups()  # type: ignore[union-attr]
    path = tmp_path / "own" / name
    path.parent.mkdir(parents=True)
    for example in find_blocks(page, "yaml"):  # a test file may be of a spec on its page
        named = NAMED.match(example)
        if named and "/" not in named[2]:
            (path.parent / named[2]).write_text(example)
    path.write_text(text)
    if kind == "test":
        assert run_test_file(path), "each case passes"
    elif kind == "sandbox":
        assert sandbox.load_world(path).roles
    elif not name.startswith(("broken", ".")):  # test_integrations.py tests files of other tools
        assert api.load(path, complete=False).steps


@pytest.mark.parametrize(
    ("page", "text"),
    CONSOLES,
    ids=[f"{page.name}-{number}" for number, (page, _) in enumerate(CONSOLES)],
)
def test_a_command_gives_the_output_that_is_printed(
    page: Path, text: str, tmp_path: Path, rolerunner: Callable[..., Any]
) -> None:
    for folder in ("configs", "jobs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for example in (*find_blocks(page, "yaml"), *find_blocks(page, "python")):
        named = NAMED.match(example)
        if named and not named[2].startswith("configs/"):
            (tmp_path / named[2]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / named[2]).write_text(example)
    command, *printed = text.splitlines()
    program, *arguments = shlex.split(command[2:])
    assert program == "rolerunner"
    completed = rolerunner(*arguments)
    assert_printed(printed, completed.stdout + completed.stderr)


def test_a_page_links_to_the_files_of_the_repository_that_its_commands_need() -> None:
    for page in RUNNABLE:
        text = page.read_text()
        shown = set(re.findall(r"# (?:file|sandbox|test): (configs/\S+)", text))
        used = {
            name
            for block in find_blocks(page, "console")
            for name in re.findall(r"configs/\w+(?=[.\w]*\.yaml)", block.splitlines()[0])
        }
        missing = {
            name
            for name in used
            if f"{name}.yaml" not in shown
            and not re.search(rf"\]\([./]*(?:{name}\.yaml|configs/)\)", text)
        }
        assert missing == set(), page


FROM_CODE = [page for page in PAGES if "<!-- from the code: " in page.read_text()]


@pytest.mark.parametrize("page", FROM_CODE, ids=lambda page: page.name)
def test_parts_from_the_code_are_up_to_date(page: Path) -> None:
    from manual.reference import render_page

    assert render_page(page.read_text()) == page.read_text(), "run 'make docs'"


def test_the_program_of_the_python_api_runs(
    tmp_path: Path, memory_aws: memory_aws_module.Store
) -> None:
    page = ROOT / "docs" / "python-api.md"
    program, careful = find_blocks(page, "python")
    (tmp_path / "nightly.py").write_text(program)
    (tmp_path / "careful.py").write_text(careful)
    (tmp_path / "nightly.yaml").write_text(find_blocks(page, "yaml")[0])
    memory_aws.put("partner-landing", "orders/2026-01-31/a.csv", b"1")
    completed = subprocess.run(
        [sys.executable, "nightly.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert completed.stdout.splitlines() == [
        "assumes arn:aws:iam::222233334444:role/landing-reader",
        "find succeeded 1",
    ], completed.stderr
    assert run_program("careful.py", tmp_path) == (0, "succeeded\n")
    memory_aws.hook = lambda request: (
        memory_aws_module.error(403, "AccessDenied", "no") if request.service == "sts" else None
    )
    assert run_program("careful.py", tmp_path)[0] == 3
    (tmp_path / "nightly.yaml").write_text("version: 1\nname: nightly\nstep: []\n")
    status, output = run_program("careful.py", tmp_path)
    assert (status, "nightly.yaml 3 " in output) == (2, True)


def run_program(name: str, folder: Path) -> tuple[int, str]:
    completed = subprocess.run(
        [sys.executable, name], cwd=folder, capture_output=True, text=True, check=False
    )
    return completed.returncode, completed.stdout


def test_the_picture_of_a_run_shows_the_spec_of_the_readme() -> None:
    picture = (ROOT / "docs" / "run.svg").read_text()
    (spec, _) = find_blocks(ROOT / "README.md", "yaml")
    for step in re.findall(r"- id: (\w+)", spec):
        assert f">✓ {step}<" in picture.replace("&#160;", " "), "run 'make picture'"
    assert re.findall(r"https?://[^\"' ]+", picture) == [
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",  # in a comment
    ]


def test_progress_bars_leave_no_lines_in_the_picture() -> None:
    from manual.picture import settle

    bar = "find ---\r\n\x1b[1A\r\x1b[2K"
    assert settle(f"\x1b[?25lfirst\r\n{bar}last\r\n\x1b[?25h") == "first\nlast"


def test_the_steps_beside_other_tools_are_right(tmp_path: Path) -> None:
    """test_coming_from.py runs them beside the commands."""
    rows = [row.steps for row in coming_from.read_rows()]
    tables = [steps for steps in rows if steps] + [coming_from.read_pattern_steps()]
    assert len(tables) > 100
    path = tmp_path / "job.yaml"
    for steps in tables:
        named = [{"id": f"step_{at}", "role": "job", **step} for at, step in enumerate(steps)]
        params = {"key": {"type": "string", "secret": True, "default": "A" * 43 + "="}}
        spec = {"version": 1, "name": "t", "params": params, "steps": named}
        path.write_text(json.dumps(spec))
        assert api.load(path, complete=False).steps


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_json_are_right(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link
    for text in find_blocks(page, "json"):
        json.loads(text)


def list_anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as MkDocs and GitHub make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_anchor_of_a_link_is_a_heading(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        target = page.parent / link if link else page
        assert anchor in list_anchors(target), f"{link}#{anchor}"


def test_each_page_has_its_place_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = re.findall(r"([\w./-]+\.md)$", navigation, re.MULTILINE)
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(pages)
