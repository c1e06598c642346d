"""A distributed listing returns every key once and in order, and keeps all workers busy."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.workers.distributed_listing import DistributedListing
from tests.workers import InProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Keys:
    """A storage that has keys and lists them, and counts how often it is asked."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = sorted(set(keys))
        self.pages = 0

    def list(
        self,
        prefix: S3Uri,
        *,
        versions: bool = False,
        after: str = "",
        through: str | None = None,
        page: int = 1000,
        parallel: bool = True,
    ) -> Iterator[ObjectInfo]:
        assert not versions
        self.pages += 1
        for number, key in enumerate(self.keys[bisect_right(self.keys, after) :], 1):
            if key.startswith(prefix.key):
                yield ObjectInfo(key, 1)
            self.pages += number % page == 0


STORAGES: list[Keys] = []


class Named:
    """A storage that pickles as its place in a list."""

    def __init__(self, keys: Keys) -> None:
        STORAGES.append(keys)
        self.list = keys.list

    def __reduce__(self) -> Any:
        return STORAGES.__getitem__, (len(STORAGES) - 1,)


def listed(
    keys: Iterable[str],
    prefix: str = "in/",
    keys_per_task: int = 10,
    slots: int = 4,
    seconds: float = 0,
) -> tuple[list[str], InProcess]:
    pool = InProcess(slots)
    storage: Any = Named(Keys(keys))
    found = DistributedListing(
        storage,
        pool,
        Cancel(),
        S3Uri("bucket", prefix),
        versions=False,
        keys_per_block=keys_per_task,
        seconds=seconds,
    ).list_objects()
    return [info.key for info in found], pool


@given(
    st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=6), max_size=60),
    st.sampled_from(["", "in/", "é"]),
    st.integers(1, 12),
)
@settings(max_examples=150, deadline=None)
def test_every_key_is_listed_once_and_in_order(
    keys: list[str], prefix: str, keys_per_task: int
) -> None:
    under = [prefix + key for key in keys if prefix + key]
    found, _ = listed([*under, "aa", "zz"], prefix or "i", keys_per_task)
    assert found == sorted({key for key in [*under, "aa", "zz"] if key.startswith(prefix or "i")})


@pytest.mark.parametrize(
    "keys",
    [
        [f"in/{number:09d}.csv" for number in range(20_000)],
        [f"in/day={number % 30:02d}/part-{number:05d}.parquet" for number in range(20_000)],
        [f"in/{number * 2654435761 % 2**32:08x}" for number in range(20_000)],
        [f"in/a/{number}" for number in range(19_000)]
        + [f"in/z/{number}" for number in range(1_000)],
    ],
    ids=["numbers", "partitions", "hashes", "skewed"],
)
def test_many_keys_soon_keep_all_workers_busy(keys: list[str]) -> None:
    found, pool = listed(keys, keys_per_task=250, slots=4)
    assert found == sorted(keys)
    # 20,000 keys are 80 tasks' worth; one after the other would be 80 rounds, and 16 at once are 5
    assert len(pool.waves) <= 24, pool.waves


def test_a_task_that_has_time_lists_more_than_a_block() -> None:
    keys = [f"in/{number:05d}" for number in range(200)]
    found, pool = listed(keys, keys_per_task=50, seconds=60)
    assert (found, pool.waves) == (keys, [1])
    found, pool = listed(keys, keys_per_task=10, seconds=60)  # more than the most blocks
    assert found == keys
    assert len(pool.waves) > 1


def test_a_listing_that_is_stopped_stops() -> None:
    cancel = Cancel()
    cancel.set()
    storage: Any = Named(Keys(["in/a"]))
    with pytest.raises(StepError, match="stopped"):
        list(
            DistributedListing(
                storage, InProcess(), cancel, S3Uri("bucket", "in/"), versions=False
            ).list_objects()
        )
