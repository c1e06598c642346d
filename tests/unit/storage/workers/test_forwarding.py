"""Calls that stay on this machine reach the local storage with all their arguments."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from rolerunner.storage.protocol import Storage
from rolerunner.storage.workers.distributed import DistributedStorage
from rolerunner.storage.workers.forwarding import ForwardedReads, ForwardedWrites

FORWARDED = [
    (each, name)
    for each in (ForwardedReads, ForwardedWrites)
    for name in vars(each)
    if inspect.isfunction(vars(each)[name])
]


class Recorder:
    """A storage that returns the arguments of each call, by name."""

    def __getattr__(self, name: str) -> Any:
        signature = inspect.signature(getattr(Storage, name))

        def call(*args: Any, **kwargs: Any) -> Any:
            return name, dict(signature.bind(self, *args, **kwargs).arguments)

        return call


@pytest.mark.parametrize(("forwarding", "name"), FORWARDED, ids=[name for _, name in FORWARDED])
def test_a_forwarded_call_keeps_its_arguments(forwarding: Any, name: str) -> None:
    storage = forwarding()
    storage.local = Recorder()
    parameters = list(inspect.signature(getattr(Storage, name)).parameters.values())[1:]
    values = {each.name: object() for each in parameters}
    called, arguments = getattr(storage, name)(**values)
    assert called == name
    assert {**arguments, "self": None} == {**values, "self": None}


def test_a_distributed_storage_does_all_that_a_storage_does() -> None:
    wanted = {name for name in dir(Storage) if not name.startswith("_")}
    assert wanted <= set(dir(DistributedStorage))
    overridden = {name for _, name in FORWARDED} & set(vars(DistributedStorage))
    assert overridden == set()
