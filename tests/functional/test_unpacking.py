"""s3.unpack: archives into objects; what attackers put into archives is refused by name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from rolerunner.storage.compression import Compression, compress_bytes
from tests.memory_aws import error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.model import StepResult
    from tests.memory_aws import Store

READER, WRITER = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::444455556666:role/writer"
TWO = {"source_role": READER, "target_role": WRITER}
CONTENT = {
    "a.csv": b"one,two" * 1000,
    "empty": b"",
    "b/\u00fcber \u4e2d.txt": b"unicode",
    f"{'folder/' * 40}name": b"long",
    "random": os.urandom(300_000),
}
CODECS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": lambda data: compress_bytes(data, Compression.of("zstd")),
}


@pytest.fixture(params=["fast", "boto3"])
def run(
    request: pytest.FixtureRequest, memory_aws: Store, tmp_path: Path
) -> Callable[..., StepResult]:
    """Runs one s3.unpack and returns its result."""

    def run_step(**fields: Any) -> StepResult:
        path = tmp_path / "job.yaml"
        fields = {"target": "s3://lake/out/", **fields}
        step = {"id": "it", "action": "s3.unpack", **(fields if "role" in fields else TWO | fields)}
        path.write_text(
            json.dumps({"version": 1, "name": "t", "engine": request.param, "steps": [step]})
        )
        return api.run(api.load(path)).steps[0]

    return run_step


def tar_of(
    members: dict[str, Any], form: int = tarfile.PAX_FORMAT, end: Optional[bytes] = None
) -> bytes:
    """A tar; a member is bytes, or a TarInfo for one that is special."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def special(kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo("x")
    info.type, info.linkname = kind, link
    return info


def zip_of(members: dict[str, Any], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def unpacked(store: Store, prefix: str = "s3://lake/out/") -> dict[str, bytes]:
    return {
        uri.removeprefix(prefix): body
        for uri, body in store.bodies().items()
        if uri.startswith(prefix)
    }


@pytest.mark.parametrize("kind", [*CODECS, "zip"])
def test_every_format_is_unpacked(
    kind: str, run: Callable[..., StepResult], memory_aws: Store
) -> None:
    folders = {"b/": special(tarfile.DIRTYPE)}
    data = (
        zip_of({"b/": b"", **CONTENT})
        if kind == "zip"
        else CODECS[kind](tar_of({**folders, **CONTENT}))
    )
    memory_aws.put("landing", f"in.{kind}", data)
    done = run(source=f"s3://landing/in.{kind}")
    assert done.status == "succeeded", done.error
    assert unpacked(memory_aws) == CONTENT
    assert done.outputs["count"] == len(CONTENT)
    assert done.outputs["bytes"] == sum(map(len, CONTENT.values()))


def test_under_one_role_large_members_go_in_parts_and_small_ones_are_skipped_if_the_same(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    content = {"large": os.urandom(20_000_000), "small": b"x"}
    memory_aws.put("lake", "in.tar", tar_of(content))
    fields = {"role": READER, "source": "s3://lake/in.tar", "if_exists": "skip_same"}
    assert run(**fields).status == "succeeded"
    assert unpacked(memory_aws) == content
    assert [each for each in memory_aws.requests_of("PUT") if "partNumber" in each.query]
    done = run(**fields)
    assert (done.outputs["count"], done.outputs["skipped"]) == (1, 1)


def test_what_pack_wrote_is_unpacked_from_several_archives(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.put("landing", "in/1.tar.gz", CODECS["tar.gz"](tar_of({"./a": b"1"})))
    memory_aws.put("landing", "in/2.zip", zip_of({"b": b"2"}))
    done = run(source="s3://landing/in/", include=["*"], exclude=["c"])
    assert done.status == "succeeded", done.error
    assert unpacked(memory_aws) == {"a": b"1", "b": b"2"}


def pax(records: dict[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Returns a header with these records, of one member or of all that follow."""
    body = b""
    for name, value in records.items():
        rest = f" {name}={value}\n".encode()
        length = len(rest)
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        body += str(length).encode() + rest
    header = tarfile.TarInfo("pax")
    header.type, header.size = kind, len(body)
    return header.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


def change_zip(data: bytes, mark: bytes, changes: dict[int, bytes]) -> bytes:
    """Returns a zip with other bytes at places after the last record that begins with a mark."""
    changed, at = bytearray(data), data.rindex(mark)
    for place, new in changes.items():
        changed[at + place : at + place + len(new)] = new
    return bytes(changed)


def global_headers() -> bytes:
    """Returns a tar of small members, each before headers that hold for all that follow."""
    member = tar_of({"fine": b"1"})[:1024]
    return b"".join(
        pax({f"x{number}": "v" * 500_000}, tarfile.XGLTYPE) + member for number in range(4)
    )


HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "parent": ("tar", tar_of({"fine": b"1", "../up": b"2"}), "'../up' of s3://landing/it.tar"),
    "absolute": ("tar", tar_of({"/etc/passwd": b"2"}), "'/etc/passwd'"),
    "inner": ("tar", tar_of({"a/../../b": b"2"}), "'a/../../b'"),
    "windows": ("zip", zip_of({"..\\up": b"2"}), "up' of"),
    "drive": ("zip", zip_of({"C:/windows": b"2"}), "'C:/windows'"),
    "zip parent": ("zip", zip_of({"../up": b"2"}), "'../up'"),
    "symlink": ("tar", tar_of({"link": special(tarfile.SYMTYPE, "/etc")}), "a symbolic link"),
    "hard link": ("tar", tar_of({"link": special(tarfile.LNKTYPE, "fine")}), "a hard link"),
    "device": ("tar", tar_of({"null": special(tarfile.CHRTYPE)}), "a device or pipe"),
    "fifo": ("tar", tar_of({"pipe": special(tarfile.FIFOTYPE)}), "a device or pipe"),
    "not utf-8": ("tar", tar_of({"\udcff": b"1"}, tarfile.GNU_FORMAT), "is not UTF-8"),
    "not a tar": ("tar", b"x" * 2000, "the archive is damaged"),
    "not a zip": ("zip", b"x" * 2000, "it has no central directory"),
    "empty": ("tar", b"", "the archive is damaged"),
    "empty gzip": ("tar.gz", b"", "it is empty"),
    "no end": ("tar", tar_of({"fine": b"1"})[:1024], "it has no end"),
    "size of 5 GB": (
        "tar", pax({"size": "5000000000"}) + tar_of({"it": b"1"}), "bytes before the member does",
    ),
    "size below zero": ("tar", pax({"size": "-5"}) + tar_of({"it": b"1"}), "size is negative"),
    "NUL": ("tar", pax({"path": "a\0b"}) + tar_of({"it": b"1"}), "a NUL character"),
    "sparse": ("tar", pax({"GNU.sparse.map": "0,1,9,1"}) + tar_of({"it": b"1"}), "a sparse file"),
    "global headers": ("tar", global_headers(), "global headers have more than 1,048,576 bytes"),
    "hidden entry": (
        "zip",
        change_zip(zip_of({"a": b"1", "b": b"2"}), b"PK\5\6", {8: b"\1\0\1\0"}),
        "its central directory has 2 entries, and claims 1",
    ),
    "content beyond its end": (
        "zip",
        change_zip(
            change_zip(zip_of({"a": b"1"}, 0), b"PK\3\4", {28: b"\xff\xff"}),
            b"PK\1\2",
            {20: struct.pack("<LL", 5_000_000, 5_000_000)},
        ),
        "the member has 0 bytes, and claims 5,000,000",
    ),
    "more behind": (
        "tar", tar_of({"fine": b"1"}) + tar_of({"other": b"2"}), "other data follows its end",
    ),
    "bytes behind gzip": (
        "tar.gz", gzip.compress(tar_of({"fine": b"1"})) + b"junk", "other data follows it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_by_member_before_anything_is_stored(
    name: str, run: Callable[..., StepResult], memory_aws: Store
) -> None:
    kind, data, message = HOSTILE[name]
    memory_aws.put("landing", f"it.{kind}", data)
    done = run(source=f"s3://landing/it.{kind}")
    assert done.status == "failed"
    assert done.error is not None
    assert message in done.error.message, done.error
    assert "Traceback" not in str(done.error)
    assert not memory_aws.requests_of("PUT")


@pytest.mark.parametrize("kind", [*CODECS, "zip"])
@pytest.mark.parametrize("check_first", [True, False])
def test_an_archive_that_is_cut_short_leaves_no_member_cut_short(
    kind: str, check_first: bool, run: Callable[..., StepResult], memory_aws: Store
) -> None:
    content = {"fine": b"1", "random": os.urandom(200_000)}
    data = zip_of(content) if kind == "zip" else CODECS[kind](tar_of(content))
    for left in (len(data) // 2, len(data) - 8):
        memory_aws.put("landing", f"it.{kind}", data[:left])
        done = run(source=f"s3://landing/it.{kind}", check_first=check_first)
        if kind == "tar" and left == len(data) - 8:
            continue  # a part of its padding
        assert done.error is not None, left
        assert f"s3://landing/it.{kind}" in done.error.message
        assert all(content[each] == body for each, body in unpacked(memory_aws).items())
        if check_first:
            assert not unpacked(memory_aws)


@pytest.mark.parametrize("time", ["nan", "inf", "-inf", "-1", "1e300"])
def test_a_time_that_is_none_is_ignored(
    time: str, run: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.put("landing", "it.tar", pax({"mtime": time}) + tar_of({"it": b"1"}))
    done = run(source="s3://landing/it.tar")
    assert done.status == "succeeded", done.error
    assert unpacked(memory_aws) == {"it": b"1"}


def test_links_are_left_out_by_option(run: Callable[..., StepResult], memory_aws: Store) -> None:
    members = {"a": b"1", "link": special(tarfile.SYMTYPE, "../../etc"), "b": b"2"}
    memory_aws.put("landing", "it.tar", tar_of(members))
    done = run(source="s3://landing/it.tar", special="skip")
    assert done.status == "succeeded", done.error
    assert unpacked(memory_aws) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("check_first", [True, False])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_two_members_of_one_name_are_refused(
    kind: str, check_first: bool, run: Callable[..., StepResult], memory_aws: Store
) -> None:
    target = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=target, mode="w") as tar:
            for body in (b"1", b"22"):
                info = tarfile.TarInfo("same")
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
    else:
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("same", b"1")
            archive.NameToInfo.clear()  # else it warns
            archive.writestr("same", b"22")
    memory_aws.put("landing", f"it.{kind}", target.getvalue())
    done = run(source=f"s3://landing/it.{kind}", check_first=check_first)
    assert done.error is not None
    assert done.error.type == "SameName"
    assert "the member 'same'" in done.error.message
    assert len(unpacked(memory_aws)) == (0 if check_first else 1)


@pytest.mark.parametrize("kind", ["tar.gz", "tar.zst", "tar.xz", "tar.bz2", "zip"])
def test_a_bomb_is_refused(kind: str, run: Callable[..., StepResult], memory_aws: Store) -> None:
    zeros = {"zeros": bytes(40_000_000)}
    data = zip_of(zeros) if kind == "zip" else CODECS[kind](tar_of(zeros))
    memory_aws.put("landing", f"it.{kind}", data)
    done = run(source=f"s3://landing/it.{kind}")
    assert done.error is not None
    assert done.error.type == "TooLarge"
    assert "the member 'zeros'" in done.error.message
    assert not memory_aws.requests_of("PUT")
    done = run(source=f"s3://landing/it.{kind}", max_ratio=1_000_000, max_bytes="30MB")
    assert done.error is not None
    assert "'max_bytes'" in done.error.message
    done = run(source=f"s3://landing/it.{kind}", max_ratio=1_000_000, max_bytes="50MB")
    assert done.status == "succeeded", done.error


def test_a_zip_that_lies_about_sizes_and_names_is_refused(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    data = bytearray(zip_of({"name": b"content" * 100}, zipfile.ZIP_STORED))
    at = data.index(b"PK\x01\x02")
    damaged = {
        "more than the 10 bytes": (at + 24, struct.pack("<L", 10)),
        "and claims 5,000": (at + 24, struct.pack("<L", 5000)),
        "does not have its checksum": (at + 16, b"\0\0\0\0"),
        "another name in its own header": (at + 46, b"evil"),
        "is encrypted": (at + 8, b"\1\0"),
        "method 9": (at + 10, b"\x09\0"),
        "not where the central directory says": (at + 42, struct.pack("<L", 7)),
        "its central directory is damaged": (at, b"XX"),
    }
    for message, (place, changed) in damaged.items():
        lie = bytes(data[:place]) + changed + bytes(data[place + len(changed) :])
        memory_aws.put("landing", "it.zip", lie)
        done = run(source="s3://landing/it.zip")
        assert done.error is not None, message
        assert message in done.error.message
    assert not memory_aws.requests_of("PUT")


def test_headers_of_a_tar_are_bounded(run: Callable[..., StepResult], memory_aws: Store) -> None:
    info = tarfile.TarInfo("a" * 200)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    for name, size in (("large", 40_000_000), ("negative", -1)):
        header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
        header[148:156] = b" " * 8
        header[148:156] = f"{sum(header):06o}\0 ".encode()
        data = tar_of({"fine": b"1"})[:1024] + bytes(header) + bytes(100_000)
        memory_aws.put("landing", f"{name}.tar", data)
        done = run(source=f"s3://landing/{name}.tar")
        assert done.error is not None
        assert done.error.type == "DamagedArchive", done.error
    chain = b"".join(special_header() for _ in range(400)) + tar_of({"fine": b"1"})
    memory_aws.put("landing", "chain.tar", chain)
    done = run(source="s3://landing/chain.tar")
    assert done.error is not None
    assert done.error.type == "DamagedArchive", done.error


def special_header() -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = b"L", 5
    return info.tobuf(tarfile.GNU_FORMAT) + b"name\0".ljust(512, b"\0")


def test_members_never_overwrite_their_archive(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    data = tar_of({"it.tar": b"1"})
    memory_aws.put("lake", "out/it.tar", data)
    done = run(source="s3://lake/out/it.tar")
    assert done.error is not None
    assert done.error.type == "TargetInSource"
    assert unpacked(memory_aws) == {"it.tar": data}
    other = tar_of({"x": b"2"})
    memory_aws.put("lake", "first.tar", data)
    memory_aws.put("lake", "out/it.tar", other)
    for check_first in (True, False):
        named = ["s3://lake/first.tar", "s3://lake/out/it.tar"]
        done = run(objects=named, check_first=check_first)
        assert done.error is not None
        assert done.error.type == "TargetInSource"
        assert unpacked(memory_aws)["it.tar"] == other


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"if_exists": "skip"}, {"new"}),
        ({"if_exists": "skip_same", "compare": "size"}, {"new", "longer"}),
        ({"if_exists": "skip_same"}, {"new", "longer", "other"}),
        ({"if_exists": "overwrite", "exclude": ["new"]}, {"same", "longer", "other"}),
    ],
)
def test_what_exists_is_stored_again_only_where_it_differs(
    fields: dict[str, Any], stored: set[str], run: Callable[..., StepResult], memory_aws: Store
) -> None:
    members = {"same": b"1", "longer": b"22", "other": b"3", "new": b"4"}
    memory_aws.put("landing", "in/it.tar", tar_of(members))
    memory_aws.put("landing", "in/folder.tar/", b"")
    for name, body in {"same": b"1", "longer": b"2", "other": b"4"}.items():
        memory_aws.put("lake", f"out/{name}", body)
    done = run(source="s3://landing/in/", format="tar", **fields)
    assert done.status == "succeeded", done.error
    assert {each.key.rpartition("/")[2] for each in memory_aws.requests_of("PUT")} == stored
    chosen = members.keys() - set(fields.get("exclude", ()))
    assert (done.outputs["count"], done.outputs["skipped"]) == (
        len(stored),
        len(chosen) - len(stored),
    )


def test_a_target_that_may_not_be_looked_at_is_the_failure_of_its_member(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.put("landing", "it.tar", tar_of({"a": b"1"}))
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied") if request.bucket == "lake" and request.method != "PUT" else None
    )
    done = run(source="s3://landing/it.tar", if_exists="skip")
    assert done.error is not None
    assert done.error.type == "AccessDenied"
    assert unpacked(memory_aws) == {}


def test_an_object_that_is_no_archive_is_named_with_the_remedy(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.put("landing", "in/it.bin", b"x")
    done = run(source="s3://landing/in/")
    assert done.error is not None
    assert (done.error.type, "set 'format'" in done.error.hint) == ("NotAnArchive", True)
    nothing = run(source="s3://landing/none/", on_empty="ok")
    assert (nothing.status, nothing.outputs["count"]) == ("succeeded", 0)


def test_two_items_that_would_be_one_object_are_refused(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    for name in ("one", "two"):
        memory_aws.put("landing", f"{name}.tar", tar_of({"a": name.encode()}))
    items = {"for_each": {"items": ["one", "two"], "max_parallel": 1}}
    done = run(source="s3://landing/${{ item }}.tar", **items)
    assert done.status == "failed"
    assert unpacked(memory_aws) == {"a": b"one"}


def test_failures_are_tolerated_as_allowed(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.put("landing", "it.tar", tar_of({"../up": b"1", "fine": b"2"}))
    done = run(source="s3://landing/it.tar", max_failures=1)
    assert done.status == "warning"
    assert unpacked(memory_aws) == {"fine": b"2"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "s3://landing/it.bin"}, "names no format of archives"),
        ({"source": "s3://lake/in/", "target": "s3://lake/in/out/"}, "lies inside"),
        ({"source": "s3://lake/in/", "target": "s3://lake/in/"}, "is .source. too"),
    ],
)
def test_validate_refuses(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    step = {"id": "it", "action": "s3.unpack", **TWO, "target": "s3://lake/", **fields}
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps({"version": 1, "name": "t", "steps": [step]}))
    with pytest.raises(SpecError, match=message):
        api.load(path)
