"""What an index of a target finds, whatever the order of the keys."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.selection.target_index import TargetIndex
from rolerunner.storage.protocol import ObjectInfo

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(TEXT.filter(bool), unique=True, max_size=20), st.data())
def test_what_stands_there_is_found_in_any_order(there: list[str], data: Any) -> None:
    class Fake:
        def list(self, prefix: S3Uri, *, cancel: Cancel) -> Any:
            return iter([ObjectInfo(key, 1) for key in sorted(there, key=str.encode)])

        def head(self, uri: S3Uri) -> ObjectInfo:
            from rolerunner.errors import NotFound

            if uri.key not in there:
                raise NotFound("none")
            return ObjectInfo(uri.key, 1)

    asked = data.draw(
        st.lists(st.one_of(st.sampled_from([*there, "a"]), TEXT.filter(bool)), max_size=20)
    )
    for expected in (1, 1000):
        existing = TargetIndex(Fake(), S3Uri("bucket"), expected, Cancel())  # type: ignore[arg-type]
        assert [existing.find(S3Uri("bucket", key)) is not None for key in asked] == [
            key in there for key in asked
        ]
