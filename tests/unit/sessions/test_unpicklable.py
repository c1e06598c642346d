"""Objects with credentials are never pickled."""

from __future__ import annotations

import copy
import pickle

import pytest

from rolerunner.sessions.unpicklable import Unpicklable


class Session(Unpicklable):
    def __init__(self) -> None:
        self.secret = "sample"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(protocol: int) -> None:
    for value in (Session(), [Session()], {"session": Session()}):
        with pytest.raises(TypeError, match="credentials are not pickled: ship the Role"):
            pickle.dumps(value, protocol)


def test_copies_are_refused_as_well() -> None:
    with pytest.raises(TypeError, match="credentials are not pickled"):
        copy.deepcopy(Session())
