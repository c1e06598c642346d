"""The report page: its contents, no external resources, errors for invalid result files."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.errors import UsageError
from rolerunner.observers.report import render_page
from tests.conftest import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

ROLE = {
    "role": "reader",
    "arn": "arn:aws:iam::222233334444:role/reader",
    "session_arn": "arn:aws:sts::222233334444:assumed-role/reader/run-1",
    "assume_calls": 1,
}
STEP = {
    "id": "a",
    "action": "s3.download",
    "role": "reader",
    "status": "succeeded",
    "attempts": 1,
    "seconds": 2.0,
    "start": 1.0,
    "outputs": {"count": 3, "bytes": 4096},
}
FAILED = {
    "id": "b",
    "action": "s3.upload",
    "role": "reader",
    "status": "failed",
    "attempts": 3,
    "seconds": 0.5,
    "start": 3.0,
    "outputs": {},
    "error": {
        "type": "AccessDenied",
        "message": "may not <b>write</b>",
        "hint": "add s3:PutObject",
    },
}
VOID = {"meta", "input", "link", "br", "img", "hr"}


def result(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "run_id": "r-1",
        "job": "nightly",
        "status": "failed",
        "started": "2026-01-01T00:00:00Z",
        "seconds": 4.0,
        "roles": [ROLE],
        "steps": list(steps),
        **more,
    }


class Outline(HTMLParser):
    """Tags that are closed as they were opened, ids, links, and what would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.bars: list[dict[str, str]] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [said["id"]] if "id" in said else []
        self.targets += [said["href"]] if "href" in said else []
        self.loaded += [
            said[name] for name in ("src", "data", "action", "background") if name in said
        ] + ([tag] if tag in ("script", "link") else [])
        if "bar" in said.get("class", "").split():
            self.bars.append(said)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.rows and {"td", "th"} & set(self.open[-3:]):
            self.rows[-1][-1] += data


def test_the_page_is_whole_and_loads_nothing() -> None:
    text = render_page(result(STEP, FAILED))
    outline = Outline(text)
    assert outline.open == []
    assert outline.loaded == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert {target.removeprefix("#") for target in outline.targets} <= set(outline.ids), (
        "every link leads somewhere in the page"
    )
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text


def test_it_says_what_failed_and_what_moved() -> None:
    text = render_page(result(STEP, FAILED))
    assert "may not &lt;b&gt;write&lt;/b&gt;" in text
    assert "<b>write" not in text
    assert "add s3:PutObject" in text
    rows = Outline(text).rows
    assert ["reader", ROLE["session_arn"], "1", "4.0 KiB"] in rows
    (row,) = [row for row in rows if row[0] == "a"]
    assert row[1:10] == [
        "s3.download",
        "reader",
        "✓ succeeded",
        "1",
        "1 s",
        "2 s",
        "3",
        "4.0 KiB",
        "2.0 KiB",
    ]


def test_a_session_of_one_step_is_told_apart() -> None:
    own = [{**ROLE, "step": "a"}, {**ROLE, "step": "b"}]
    names = [
        row[0]
        for row in Outline(render_page(result(STEP, FAILED, roles=own))).rows
        if row[1:2] == [ROLE["session_arn"]]
    ]
    assert names == ["reader for a", "reader for b"]


def test_a_bar_stands_where_the_step_ran_and_overlapping_ones_below() -> None:
    beside = {**STEP, "id": "c", "start": 2.0, "seconds": 1.5}
    bars = {
        bar["href"]: bar["style"] for bar in Outline(render_page(result(STEP, beside, FAILED))).bars
    }
    assert bars["#step-a"] == "left:25.0000%;width:50.0000%;top:0.4rem"
    assert bars["#step-c"] == "left:50.0000%;width:37.5000%;top:1.8rem"
    assert bars["#step-b"] == "left:75.0000%;width:12.5000%;top:0.4rem"


def test_a_file_without_starts_is_laid_end_to_end() -> None:
    steps = [
        {key: value for key, value in each.items() if key != "start"}
        for each in (STEP, {**STEP, "id": "z", "status": "skipped"}, FAILED)
    ]
    bars = {bar["href"]: bar["style"] for bar in Outline(render_page(result(*steps))).bars}
    assert {name: style.split(";")[0] for name, style in bars.items()} == {
        "#step-a": "left:0.0000%",
        "#step-b": "left:50.0000%",
    }


def test_secrets_are_not_in_it() -> None:
    key = "ASIA" + "Q" * 16
    assert key not in render_page(
        result({**FAILED, "error": {"type": "x", "message": f"with {key}", "hint": ""}})
    )


def test_a_run_in_which_nothing_ran_has_a_page() -> None:
    outline = Outline(
        render_page(
            result(
                {"id": "a", "action": "s3.list", "role": "", "status": "not_run"},
                roles=[],
                seconds=0,
            )
        )
    )
    assert (outline.open, outline.bars) == ([], [])


def test_a_run_that_could_not_begin_says_why() -> None:
    text = render_page(
        result(
            roles=[],
            seconds=0,
            error={
                "type": "SpecError",
                "message": "job.yaml:3:1: unknown key '<x>'",
                "hint": "mend it",
            },
        )
    )
    assert "unknown key &#x27;&lt;x&gt;&#x27;" in text
    assert "mend it" in text
    assert Outline(text).open == []


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        3,
        {"version": 2},
        result({"id": 3}),
        result(seconds="long"),
        result(STEP, steps="none"),
    ],
)
def test_what_is_no_result_file_is_told_so(wrong: Any) -> None:
    with pytest.raises(UsageError, match="not a result file"):
        render_page(wrong)


def test_the_command_and_run_write_the_same_page(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    ran = rolerunner(
        "run",
        CONFIGS / "blog_cross_role.yaml",
        "--sandbox",
        "-p",
        f"target={tmp_path}/t/",
        "--result",
        "r.json",
        "--report",
        "run.html",
    )
    assert ran.returncode == 0, ran.stderr
    steps = json.loads((tmp_path / "r.json").read_text())["steps"]
    starts = [step["start"] for step in steps]
    assert starts == sorted(starts)
    assert starts[-1] > 0
    made = rolerunner("report", "r.json")
    assert (made.returncode, made.stdout.strip(), made.stderr) == (0, "r.html", "")
    ours, theirs = (
        Outline((tmp_path / "r.html").read_text()),
        Outline((tmp_path / "run.html").read_text()),
    )
    assert [row[:4] for row in ours.rows] == [row[:4] for row in theirs.rows]
    assert "Traceback" not in rolerunner("report", "none.json").stderr
    assert rolerunner("report", "r.html").returncode == 2
    assert "may not s3:GetObject" in (tmp_path / "r.html").read_text()


def make_large_result(count: int) -> dict[str, Any]:
    dice = random.Random(1)
    steps = []
    for number in range(count):
        status = dice.choices(["succeeded", "warning", "failed"], [95, 3, 2])[0]
        error = (
            {}
            if status == "succeeded"
            else {"error": {"type": "AccessDenied", "message": "refused " * 30, "hint": "add it"}}
        )
        where = {
            "id": f"step-{number}",
            "role": dice.choice(["reader", "publisher", ""]),
            "start": dice.uniform(0, 3600),
            "seconds": dice.expovariate(0.1),
        }
        steps.append({**STEP, **where, "status": status, **error})
    return result(*steps, seconds=3700.0)


BROWSER = next(
    (
        found
        for found in map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
        if found
    ),
    None,
)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on the PATH")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_lays_a_thousand_steps_out_within_its_width(scheme: str, tmp_path: Path) -> None:
    """The page itself is measured by a script that only this test adds."""
    probe = """<script>addEventListener("load", () => {
      const inside = [...document.querySelectorAll(".bar")].filter(bar => {
        const own = bar.getBoundingClientRect(), lane = bar.parentNode.getBoundingClientRect();
        return own.width >= 2 && own.left >= lane.left - 1 && own.top >= lane.top - 1 &&
          own.bottom <= lane.bottom + 1; });
      document.title = JSON.stringify({bars: inside.length,
        wide: document.documentElement.scrollWidth - innerWidth,
        back: getComputedStyle(document.body).backgroundColor, rows: document.querySelectorAll(
          "#steps ~ * tbody tr, section:last-of-type tbody tr").length});
    });</script></body>"""
    text = (
        render_page(make_large_result(1000))
        .replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
        .replace("</body>", probe)
    )
    (tmp_path / "page.html").write_text(text)
    dark = (
        ["--force-dark-mode", "--enable-features=WebContentsForceDark:inversion_method/none"]
        if scheme == "dark"
        else []
    )
    dumped = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/profile",
            "--window-size=1200,900",
            *dark,
            "--virtual-time-budget=5000",
            "--dump-dom",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=80,
        check=True,
    ).stdout
    measured = json.loads(re.search(r"<title>(.*?)</title>", dumped).group(1))  # type: ignore[union-attr]
    assert measured["bars"] == 1000
    assert measured["wide"] <= 0
    assert measured["rows"] == 1000


WIDTH = 360


def long_result() -> dict[str, Any]:
    """Returns a result with long names, ARNs and keys, and a group of ten items."""
    arn = "arn:aws:iam::222233334444:role/" + "a-path/" * 10 + "reader"
    key = "s3://landing/" + "x" * 500
    failed = {**FAILED, "id": "f" * 60, "role": arn}
    failed["error"] = {"type": "AccessDenied", "message": f"{arn} may not read {key}", "hint": key}
    items = [
        {
            "item": f"partner-{number}" + "p" * 40,
            "status": "succeeded",
            "steps": [
                {**STEP, "id": f"group[{number}].{name}"} for name in ("find", "fetch", "tell")
            ],
        }
        for number in range(10)
    ]
    group = {**STEP, "id": "group", "action": "group", "outputs": {}, "items": items}
    return result(STEP, failed, {**STEP, "id": "c", "outputs": {"text": key}}, group)


def test_narrow_screens_show_rows_as_blocks_with_labels() -> None:
    html = render_page(long_result())
    assert 'content="width=device-width' in html
    assert '<td data-label="status">' in html
    assert "@media (max-width:" in html
    tables = re.findall(r'<div class="wide"><table class="(\w+)">', html)
    assert tables == ["list", "list", "matrix"]  # what is wide scrolls in its own box
    assert '<a class="bar succeeded"' in html
    assert "<span>fetch</span></a>" in html


@pytest.mark.slow
def test_the_page_does_not_scroll_sideways(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium")
    # headless windows are at least 500 pixels wide, frames are not
    (tmp_path / "page.html").write_text(render_page(long_result()))
    frame = f"""<body style="margin:0"><iframe src="page.html" width="{WIDTH}" height="800"
      style="border:0" onload="const d = this.contentDocument.scrollingElement;
      document.title = 'measured ' + d.scrollWidth + ' of ' + d.clientWidth"></iframe>"""
    (tmp_path / "frame.html").write_text(frame)
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{tmp_path}/frame.html"],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"measured (\d+) of (\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert int(found[1]) == int(found[2]) <= WIDTH
