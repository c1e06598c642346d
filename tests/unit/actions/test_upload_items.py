"""The content type of a file follows from its name."""

from __future__ import annotations

import mimetypes

from hypothesis import given
from hypothesis import strategies as st

from rolerunner.actions.upload_items import guess_content_type


@given(
    st.text("a.", max_size=3),
    st.lists(st.sampled_from(["csv", "gz", "tgz", "json", "", "JSON", "x y"]), max_size=3),
)
def test_a_file_has_the_type_that_python_guesses(stem: str, endings: list[str]) -> None:
    name = ".".join([stem, *endings])
    kind, encoding = mimetypes.guess_type(name)
    assert guess_content_type(f"/folder.csv/{name}") == (
        "application/gzip" if encoding == "gzip" else kind or "application/octet-stream"
    )
