"""Fields of SFTP servers: keys, credentials, limits, and the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.sftp_fields import SftpFields, SftpTargetFields
from rolerunner.errors import StepError
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from pathlib import Path

FINGERPRINT = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJlZ2lucyBhbmQgZW5kcyB3aXRoIGEga2V5ISEh"


def create(**fields: Any) -> SftpFields:
    given = {
        "host": "sftp.example.com",
        "user": "acme",
        "password": "px-71ab-77",
        "host_key": FINGERPRINT,
    }
    values = {**given, **fields}
    return SftpFields.model_validate({k: v for k, v in values.items() if v is not None})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host_key": None}, "either 'host_key' or 'known_hosts' is required"),
        ({"known_hosts": "k"}, "either 'host_key' or 'known_hosts' is required"),
        ({"host_key": []}, "must name at least one key"),
        ({"password": None}, "'password' or 'private_key' is required, each a secret param"),
        ({"passphrase": "pp-71ab-78"}, "'passphrase' goes with 'private_key'"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"port": 65_536}, "less than or equal to 65535"),
        ({"sessions": 17}, "less than or equal to 16"),
        ({"connect_timeout": 0}, "greater than 0"),
    ],
)
def test_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create(**fields)


def test_several_keys_are_trusted_while_a_server_changes_its_own() -> None:
    server = create(host_key=[FINGERPRINT, FINGERPRINT.replace("47", "48")]).server()
    assert len(server.trusted.keys) == 2
    assert (server.port, server.passphrase, server.private_key) == (22, "", "")


def find_keys(folder: Path, text: str, **fields: Any) -> int:
    (folder / "known").write_text(text)
    fields = {"host_key": None, "known_hosts": str(folder / "known"), **fields}
    return len(create(**fields).server().trusted.keys)


def test_the_keys_of_a_file_of_known_hosts(tmp_path: Path) -> None:
    text = f"other.example.com {ED25519}\nsftp.example.com {ED25519}\n"
    assert find_keys(tmp_path, text) == 1
    assert find_keys(tmp_path, f"[sftp.example.com]:2222 {ED25519}\n", port=2222) == 1


@pytest.mark.parametrize(
    ("port", "name"), [(22, "sftp.example.com"), (2222, r"\[sftp.example.com\]:2222")]
)
def test_a_server_that_is_not_known(tmp_path: Path, port: int, name: str) -> None:
    with pytest.raises(StepError, match=f"has no key of {name}") as caught:
        find_keys(tmp_path, "", port=port)
    assert caught.value.type == "HostKeyUnknown"
    assert f"'ssh-keyscan -p {port} sftp.example.com'" in caught.value.hint


def test_a_file_of_known_hosts_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="gone"):
        create(host_key=None, known_hosts=str(tmp_path / "gone")).server()


def test_the_sandbox_reaches_no_server_outside(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no connection is made to sftp") as caught:
        create().open_sessions(make_context(tmp_path, in_sandbox=True))
    assert (caught.value.type, "--only" in caught.value.hint) == ("OutsideSandbox", True)
    create(host="127.0.0.1").open_sessions(make_context(tmp_path, in_sandbox=True))


def test_more_files_than_may_be() -> None:
    create(max_files=2).check_file_count(2)
    create().check_file_count(10**6)
    with pytest.raises(StepError, match="more than 2 objects are selected") as caught:
        create(max_files=2).check_file_count(3, "objects")
    assert (caught.value.type, bool(caught.value.hint)) == ("MaxFiles", True)


class Target(SftpTargetFields):
    """The fields that an action has besides."""

    keep_times: bool = True
    move: bool = False


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keep_times": False}, "'keep_times: false' leaves out; set 'compare: size'"),
        ({"compare": "size", "move": True}, "'compare: size' proves nothing"),
    ],
)
def test_a_comparison_needs_something_to_compare(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Target.model_validate({"if_exists": "skip_same", **fields})
    assert Target.model_validate(fields)
