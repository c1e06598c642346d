from __future__ import annotations

import stat
from pathlib import Path
from typing import Optional

import pytest

from rolerunner.errors import StepError
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.keys_file import read_keys, write_keys


@pytest.mark.parametrize("token", ["kf-token-6d1c", None])
def test_another_process_reads_the_keys_that_were_written(
    tmp_path: Path, token: Optional[str]
) -> None:
    path = tmp_path / "keys"
    write_keys(path, Keys("kf-access-6d1c", "kf-secret-6d1c", token))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = read_keys(path).to_credentials().get_frozen_credentials()
    assert (found.access_key, found.secret_key, found.token) == (
        "kf-access-6d1c",
        "kf-secret-6d1c",
        token,
    )


def test_a_file_that_is_gone_or_damaged_is_an_error_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="the job's keys cannot be read: No such file"):
        read_keys(tmp_path / "keys")
    for text in ('["kf-secret-9a', '["kf-secret-9a"]', "7"):
        (tmp_path / "keys").write_text(text)
        with pytest.raises(StepError) as raised:
            read_keys(tmp_path / "keys")
        assert raised.value.message == f"the job's keys cannot be read: no keys: {tmp_path}/keys"
        assert raised.value.type == "NoCredentials"
