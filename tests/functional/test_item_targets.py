"""Two items of ``for_each`` that would make one object or file: the second fails, none is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import object_steps
from tests.object_steps import HERE, run_step

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

WORLD = object_steps.WORLD
ITEM = "${{ item }}"
STEPS = {
    "s3.pack": {"source": f"s3://ours/{ITEM}/", "target": "s3://ours/out/all.tar"},
    "s3.concat": {"source": f"s3://ours/{ITEM}/", "target": "s3://ours/out/all.txt"},
    "s3.unpack": {"source": f"s3://ours/{ITEM}.tar", "target": "s3://ours/out/"},
    "s3.download": {"source": f"s3://ours/{ITEM}/", "target": "FOLDER/got/"},
    "s3.upload": {"source": f"FOLDER/{ITEM}/", "target": "s3://ours/out/"},
}


@pytest.fixture(scope="module", autouse=True)
def sources(aws: Sandbox) -> None:
    """Stores a prefix and an archive for each item, each with the same names in it."""
    client = aws.client("s3", HERE)
    for item in ("north", "south"):
        client.put_object(Bucket="ours", Key=f"{item}/a.csv", Body=item.encode())


@pytest.mark.parametrize("action", STEPS)
def test_items_do_not_overwrite_one_another(action: str, aws: Sandbox, tmp_path: Path) -> None:
    for item in ("north", "south"):
        (tmp_path / item).mkdir()
        (tmp_path / item / "a.csv").write_text(item)
    if action == "s3.unpack":
        packed: dict[str, Any] = {"source": f"s3://ours/{ITEM}/", "target": f"s3://ours/{ITEM}.tar"}
        run_step(aws, tmp_path, "s3.pack", for_each=["north", "south"], **packed)
    fields = {name: value.replace("FOLDER", str(tmp_path)) for name, value in STEPS[action].items()}
    done = run_step(aws, tmp_path, action, for_each=["north", "south"], **fields)
    assert done.error is not None
    assert done.error.type == "SameKey"
    assert " would both be " in done.error.message
    assert "give each item its own target" in done.error.hint
    assert run_step(aws, tmp_path, action, for_each=["north"], **fields).error is None
