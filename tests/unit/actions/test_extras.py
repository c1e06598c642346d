from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.actions import registry
from rolerunner.actions.builtin.s3_write import S3Write
from rolerunner.actions.extras import (
    RequiredExtra,
    check_extras,
    find_missing_extras,
    find_required_extras,
)
from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SPEC = """version: 1
name: a
params: {where: {type: string, required: true}}
TELEMETRY
steps:
  - {id: put, action: s3.write, role: job, target: "s3://lake/done", text: x}
  - id: group
    for_each: [a, b]
    steps:
      - {id: again, action: s3.write, role: job, target: "s3://lake/${{ item }}", text: zipped}
"""


def find_extras(tmp_path: Path, telemetry: str = "") -> tuple[RequiredExtra, ...]:
    (tmp_path / "a.yaml").write_text(SPEC.replace("TELEMETRY", telemetry))
    return find_required_extras(api.load(tmp_path / "a.yaml", complete=False))


def test_a_spec_without_such_features_needs_none(tmp_path: Path) -> None:
    assert find_extras(tmp_path) == ()
    assert find_extras(tmp_path, "telemetry: {metrics: {emf: false}}") == ()


def test_telemetry_needs_an_extra_for_each_report_also_without_the_param(tmp_path: Path) -> None:
    telemetry = (
        'telemetry: {traces: {otlp: {endpoint: "${{ params.where }}"}}, metrics: {emf: true}}'
    )
    assert find_extras(tmp_path, telemetry) == (
        RequiredExtra("metrics", "telemetry.metrics"),
        RequiredExtra("traces", "telemetry.traces"),
    )


def test_an_action_names_extras_by_its_fields_and_each_appears_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_extras(cls: type[S3Write], fields: Mapping[str, Any]) -> tuple[str, ...]:
        return ("zip", "tape") if fields["text"] == "zipped" else ("tape",)

    monkeypatch.setattr(S3Write, "list_extras", classmethod(list_extras))
    assert find_extras(tmp_path) == (
        RequiredExtra("tape", "step 'put'"),
        RequiredExtra("zip", "step 'group.again'"),
    )


def list_extras(action: str, **fields: Any) -> tuple[str, ...]:
    return registry()[action].list_extras(fields)


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("s3.copy", {"compress": "zstd"}),
        ("s3.upload", {"compress": "${{ params.codec }}"}),
        ("s3.download", {"decompress": "zstd"}),
        ("s3.download", {"decompress": "auto"}),
        ("s3.pack", {"target": "s3://lake/all-${{ run.date }}.tar.zst"}),
        ("s3.pack", {"target": "s3://lake/${{ params.name }}"}),
        ("s3.pack", {"target": "s3://lake/all", "format": "tar.zst"}),
        ("s3.unpack", {"source": "s3://lake/all.tzst"}),
        ("s3.unpack", {"source": "s3://lake/archives/"}),
        ("s3.unpack", {"objects": ["s3://lake/a.tar.gz", "s3://lake/b.tar.zst"]}),
        ("s3.unpack", {"objects": "${{ steps.find.objects }}"}),
        ("s3.unpack", {"source": "s3://lake/archives/", "include": ["*.tar.zst"]}),
    ],
)
def test_zstd_is_an_extra_of_steps_that_use_it_or_may(action: str, fields: dict[str, Any]) -> None:
    assert list_extras(action, **fields) == ("zstd",)


@pytest.mark.parametrize("action", ["sftp.download", "sftp.upload"])
def test_actions_on_sftp_need_an_extra(action: str) -> None:
    assert list_extras(action) == ("sftp",)


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("s3.copy", {}),
        ("s3.upload", {"compress": "gzip"}),
        ("s3.download", {}),
        ("s3.download", {"decompress": "xz"}),
        ("s3.pack", {"target": "s3://lake/all-${{ run.date }}.tar.gz"}),
        ("s3.pack", {"target": "s3://lake/all.tar.zst", "format": "zip"}),
        ("s3.unpack", {"source": "s3://lake/all.zip"}),
        ("s3.unpack", {"source": "s3://lake/archives/", "format": "tar"}),
        ("s3.unpack", {"source": "s3://lake/archives/", "include": ["*.tar.gz", "*.tgz"]}),
        ("s3.unpack", {"objects": ["s3://lake/a.tar.gz"]}),
    ],
)
def test_other_steps_need_no_zstd(action: str, fields: dict[str, Any]) -> None:
    assert list_extras(action, **fields) == ()


PACKED = """version: 1
name: a
params: {how: {type: string, default: zstd}}
steps:
  - {id: list, action: s3.list, role: job, source: "s3://lake/"}
  - {id: packed, action: s3.upload, role: job, source: /tmp/x, target: "s3://lake/",
     compress: COMPRESS, when: WHEN}
"""


@pytest.mark.parametrize(
    ("compress", "when", "is_selected", "is_missing"),
    [
        ("zstd", "always", lambda _: True, True),
        ("zstd", "on_success", lambda name: name == "list", False),
        ("zstd", "on_failure", lambda _: True, False),
        ("zstd", "'${{ params.how == \"gzip\" }}'", lambda _: True, False),
        ("'${{ params.how }}'", "always", lambda _: True, False),
        ("gzip", "always", lambda _: True, False),
    ],
)
def test_only_what_a_run_certainly_needs_is_missing(
    compress: str,
    when: str,
    is_selected: Callable[[str], bool],
    is_missing: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.yaml").write_text(PACKED.replace("COMPRESS", compress).replace("WHEN", when))
    job = api.load(tmp_path / "a.yaml")
    expected = (RequiredExtra("zstd", "step 'packed'"),) if is_missing else ()
    assert find_missing_extras(job, registry(), is_selected) == expected
    if is_missing:
        with pytest.raises(UsageError, match=r"pip install 'rolerunner\[zstd\]'"):
            check_extras(job, registry())
