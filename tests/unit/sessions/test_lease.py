from __future__ import annotations

import pickle

import pytest

from rolerunner.redaction.secrets import Secret
from rolerunner.sessions.keys import freeze_keys
from rolerunner.sessions.lease import Lease

ARN = "arn:aws:sts::111122223333:assumed-role/reader/job"


@pytest.mark.parametrize(
    ("life", "renew_at", "late_at"),
    [
        (900, 900 - 270, 900 - 90),
        (3000, 3000 - 900, 3000 - 300),
        (43200, 43200 - 900, 43200 - 300),
        (-5, -5, -5),
    ],
)
def test_renewal_windows_scale_with_the_life(life: float, renew_at: float, late_at: float) -> None:
    lease = Lease.start(freeze_keys("access-1", "secret-1", "token-1"), ARN, 0.0, life)
    assert (lease.renew_at, lease.late_at, lease.expires_at) == (renew_at, late_at, life)


def test_portable_lease_survives_pickling_and_hides_its_keys() -> None:
    lease = Lease.start(freeze_keys("access-2", "secret-2", "token-2"), ARN, 10.0, 910.0)
    received = pickle.loads(pickle.dumps(lease.to_portable()))
    assert received.to_lease() == lease
    assert all(isinstance(each, Secret) for each in received.to_lease().keys[:3])
    assert not any(text in repr(received) for text in ("access-2", "secret-2", "token-2"))
    assert not any(text in repr(lease) for text in ("access-2", "secret-2", "token-2"))
