"""Fields for what is at a target already."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rolerunner.actions.existing_fields import ComparedFields, ExistingFields


def test_targets_are_overwritten_by_default() -> None:
    assert (ComparedFields().if_exists, ComparedFields().compare) == ("overwrite", "checksum")
    assert ExistingFields(if_exists="fail").if_exists == "fail"


def test_only_transfers_of_s3_fail_for_what_differs() -> None:
    assert ComparedFields(if_exists="fail_different").if_exists == "fail_different"
    with pytest.raises(ValidationError, match="'overwrite', 'skip', 'skip_same' or 'fail'"):
        ExistingFields.model_validate({"if_exists": "fail_different"})
