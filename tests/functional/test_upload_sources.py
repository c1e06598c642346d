"""Sources of an upload: links, pipes, devices and changing files, in folders, globs and lists."""

import json
import os
import socket
from pathlib import Path
from typing import Any, Union

import pytest

from rolerunner import api
from rolerunner.events import Note
from tests.memory_aws import Store

Source = Union[str, list[str]]


class Upload:
    """Uploads a source of a folder, in this process."""

    def __init__(self, folder: Path, engine: str, store: Store) -> None:
        self.folder, self.engine, self.store = folder, engine, store
        self.notes: list[str] = []

    def notify(self, event: Any) -> None:
        if isinstance(event, Note) and event.level == "warning":
            self.notes.append(event.message)

    def __call__(self, source: Source, **fields: Any) -> Any:
        step = {
            "id": "up",
            "action": "s3.upload",
            "role": "writer",
            "source": source,
            "target": "s3://publish/u/",
            **fields,
        }
        spec = {
            "version": 1,
            "name": "sources",
            "engine": self.engine,
            "roles": {"writer": "arn:aws:iam::444455556666:role/writer"},
            "steps": [step],
        }
        path = self.folder / "spec.yaml"
        path.write_text(json.dumps(spec))
        self.store.objects.clear()
        return api.run(api.load(path), observers=[self]).steps[0]

    def stored(self) -> list[str]:
        return sorted(key.removeprefix("u/") for _, key in self.store.objects)


@pytest.fixture(params=["fast", "boto3"])
def upload(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    memory_aws: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> Upload:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/private").write_text("private")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("a")
    return Upload(tmp_path, request.param, memory_aws)


SOURCES: list[Source] = ["out/", "out/*", ["out/a", "out/link"], "out/**", ["out/*"]]


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_links_are_treated_as_the_step_says(upload: Upload, source: Source) -> None:
    Path("out/link").symlink_to("../elsewhere/private")
    assert upload(source).status == "succeeded"
    assert upload.stored() == ["a", "link"]
    assert upload(source, symlinks="skip").status == "succeeded"
    assert upload.stored() == ["a"]
    assert any("1 left out (links: " in note and "out/link" in note for note in upload.notes)
    step = upload(source, symlinks="error")
    assert (step.status, upload.stored()) == ("failed", [])
    assert "out/link: is a link" in step.error.message


def test_a_single_file_that_is_a_link(upload: Upload) -> None:
    Path("link").symlink_to("elsewhere/private")
    assert upload("link").status == "succeeded"
    assert upload("link", symlinks="skip").error.type == "EmptySource"
    assert upload("link", symlinks="skip", on_empty="ok").status == "succeeded"
    assert upload("link", symlinks="error").error.type == "LocalFileFailed"
    assert upload.stored() == []


@pytest.mark.parametrize("source", ["out/", "out/*/private", "out/**"])
def test_a_link_to_a_folder(upload: Upload, source: str) -> None:
    Path("out/folder").symlink_to("../elsewhere")
    assert upload(source).status == "succeeded"
    assert any(key.endswith("private") for key in upload.stored())
    upload(source, symlinks="skip", on_empty="ok")
    assert not any(key.endswith("private") for key in upload.stored())
    assert upload(source, symlinks="error").status == "failed"


def test_the_folder_that_is_named_may_be_a_link(upload: Upload) -> None:
    Path("linked").symlink_to("out")
    for source in ("linked/", "linked/*"):
        assert upload(source, symlinks="error").status == "succeeded"
        assert upload.stored() == ["a"]


@pytest.mark.parametrize("source", ["out/", "out/*", ["out/a", "out/bad"]], ids=str)
@pytest.mark.parametrize("target", ["bad", "nowhere", "."])
def test_a_link_that_leads_nowhere_or_back_is_one_files_failure(
    upload: Upload, source: Source, target: str
) -> None:
    if target == "." and source != "out/":
        pytest.skip("a glob and a list name a link to a folder as a folder")
    Path("out/bad").symlink_to(target)
    step = upload(source)
    assert (step.status, step.error.type, upload.stored()) == ("failed", "LocalFileFailed", ["a"])
    assert "out/bad: the link leads" in step.error.message
    step = upload(source, max_failures=1)
    assert (step.status, step.outputs["count"], upload.stored()) == ("warning", 1, ["a"])
    assert upload(source, symlinks="skip").status == "succeeded"


def make_special(kind: str, path: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path)
    else:
        Path(path).symlink_to("/dev/zero")


@pytest.mark.parametrize("source", ["out/", "out/*", ["out/a", "out/bad"]], ids=str)
@pytest.mark.parametrize(
    ("kind", "name"), [("pipe", "a named pipe"), ("socket", "a socket"), ("device", "a device")]
)
def test_what_is_no_file_is_refused_by_name(
    upload: Upload, source: Source, kind: str, name: str
) -> None:
    make_special(kind, "out/bad")
    step = upload(source)
    assert (step.status, step.error.type, upload.stored()) == ("failed", "NotAFile", ["a"])
    assert f"out/bad: is {name}" in step.error.message
    assert upload("out/bad").error.type == "NotAFile"
    assert upload(source, exclude=["bad"]).status == "succeeded"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_a_file_of_proc_is_refused(upload: Upload) -> None:
    step = upload("/proc/self/status")
    assert (step.status, step.error.type, upload.stored()) == ("failed", "NotAFile", [])
    assert "has content but no size" in step.error.message


def test_an_empty_file_is_stored(upload: Upload) -> None:
    Path("out/a").write_text("")
    assert upload("out/").status == "succeeded"
    assert upload.stored() == ["a"]


@pytest.mark.parametrize("change", ["vanish", "grow", "pipe", "link"])
def test_a_file_that_changes_after_it_was_listed_is_one_failure(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The engines look at a file only when they send it; here it changes right before."""
    from rolerunner.storage.upload_source import UploadSource

    Path("out/b").write_text("b")
    opened = UploadSource.open

    def changing(file: UploadSource) -> int:
        if str(file.path).endswith("b"):
            if change == "grow":
                Path("out/b").write_text("longer")
            else:
                Path("out/b").unlink()
                {
                    "vanish": lambda: None,
                    "pipe": lambda: os.mkfifo("out/b"),
                    "link": lambda: Path("out/b").symlink_to("../elsewhere/private"),
                }[change]()
        return opened(file)

    monkeypatch.setattr(UploadSource, "open", changing)
    step = upload("out/", symlinks="skip" if change == "link" else "follow", max_failures=1)
    assert (step.status, upload.stored()) == ("warning", ["a"])
    assert "out/b" in step.error.message


def test_a_folder_that_cannot_be_read_is_one_failure(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out/closed").mkdir()
    Path("out/z").write_text("z")
    scandir = os.scandir

    def refuse_folder(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("rolerunner.selection.source_files.os.scandir", refuse_folder)
    step = upload("out/")
    assert (step.status, upload.stored()) == ("failed", ["a", "z"])
    assert "out/closed: Permission denied" in step.error.message
    assert upload("out/", exclude=["closed", "closed/**"]).status == "succeeded"


def test_files_of_the_users_that_look_like_temporary_ones_are_stored(upload: Upload) -> None:
    Path("out/.rolerunner-notes").write_text("mine")
    Path(f"out/.rolerunner-{'0' * 16}-{'1' * 16}").write_text("half a download")
    assert upload("out/").status == "succeeded"
    assert upload.stored() == [".rolerunner-notes", "a"]
    assert any("temporary files of a download" in note for note in upload.notes)
