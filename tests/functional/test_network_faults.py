"""Runs over a failing network end in the right state."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.sandbox.faults import Fault, FaultyProxy
from tests.conftest import CONFIGS, ROOT, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

WAYS: list[dict[str, Any]] = [
    {"answer": 503},
    {"answer": 500},
    {"drop": True},
    {"delay": 0.4},
    {"cut": True},
    {"lose": True},
]
SEEDS = (0, 2, 4)
"""With these seeds no role loses all five attempts of its AssumeRole, in any thread order."""
RETRY = "defaults: {retry: {attempts: 8, delay: 0.05s}}\n"
PUBLISHER = "444455556666"
LARGE = """version: 1
name: large
{retry}roles:
  partner: {{arn: arn:aws:iam::222233334444:role/landing-reader, external_id: ex-1}}
  publisher: arn:aws:iam::444455556666:role/publisher
steps:
  - {{id: up, action: s3.upload, role: publisher, source: {tmp}/large.bin,
      target: s3://publish/orders/large.bin}}
  - {{id: find, action: s3.list, role: partner, source: s3://partner-landing/orders/}}
  - {{id: relay, action: s3.copy, source_role: partner, target_role: publisher,
      objects: "${{{{ steps.find.objects }}}}", target: s3://publish/orders/copied/}}
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[sandbox.Sandbox]:
    with sandbox.start_sandbox(
        sandbox.load_world(CONFIGS / "partner_exchange.sandbox.yaml")
    ) as running:
        iam = running.client("iam", "222233334444")
        iam.put_role_policy(
            RoleName="landing-reader",
            PolicyName="tags",
            PolicyDocument=(
                '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
                '"Action": "s3:GetObjectTagging", "Resource": "*"}]}'
            ),
        )
        yield running


def start_faulty_proxy(aws: sandbox.Sandbox, rate: float, seed: int) -> FaultyProxy:
    """``rate`` of the requests are struck, by each kind of fault alike."""
    # of those that the ones before let pass, so many that each strikes as many of all
    faults = [
        Fault(rate=rate / len(WAYS) / (1 - number * rate / len(WAYS)), **way)
        for number, way in enumerate(WAYS)
    ]
    return FaultyProxy(aws.endpoint, faults, seed)


def read_published(aws: sandbox.Sandbox) -> dict[str, bytes]:
    s3 = aws.client("s3", PUBLISHER)
    listed = s3.list_objects_v2(Bucket="publish").get("Contents", ())
    found = {
        each["Key"]: bytes(s3.get_object(Bucket="publish", Key=each["Key"])["Body"].read())
        for each in listed
    }
    for key in found:
        s3.delete_object(Bucket="publish", Key=key)
    return found


def run(aws: sandbox.Sandbox, spec: Path, endpoint: str, **params: Any) -> dict[str, bytes]:
    read_published(aws)
    result = api.run(
        api.load(spec, params),
        identity=replace(identity_of(aws), endpoints={"": endpoint}),
        run_id="same",
    )
    assert result.status == "succeeded", [step.error for step in result.steps]
    return read_published(aws)


@pytest.mark.parametrize("rate", [0.05, 0.2, pytest.param(0.4, marks=pytest.mark.slow)])
def test_the_larger_config_ends_right(rate: float, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    text = (
        (CONFIGS / "partner_exchange.yaml").read_text().replace("\nsteps:\n", f"\n{RETRY}steps:\n")
    )
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    (tmp_path / "job.yaml").write_text(text)
    clean = run(aws, tmp_path / "job.yaml", aws.endpoint, workdir=f"{tmp_path}/clean/")
    assert len(clean) == 4
    for seed in SEEDS:
        with start_faulty_proxy(aws, rate, seed).serve_in_background() as proxy:
            assert (
                run(aws, tmp_path / "job.yaml", proxy.url, workdir=f"{tmp_path}/{seed}/") == clean
            )


@pytest.mark.parametrize("rate", [0.2, pytest.param(0.3, marks=pytest.mark.slow)])
def test_a_large_object_and_a_copy_between_roles_end_right(
    rate: float, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "large.bin").write_bytes(os.urandom(1 << 20) * 40)
    (tmp_path / "job.yaml").write_text(LARGE.format(retry=RETRY, tmp=tmp_path))
    clean = run(aws, tmp_path / "job.yaml", aws.endpoint)
    assert len(clean) == 6
    seen: Counter[str] = Counter()
    unheard = 0
    for seed in SEEDS:
        with start_faulty_proxy(aws, rate, seed).serve_in_background() as proxy:
            assert run(aws, tmp_path / "job.yaml", proxy.url) == clean
            seen += Counter(each.kind for each in proxy.injected)
            # nobody learns the id of such an upload, so nobody can abort it
            unheard += sum(
                each.operation == "CreateMultipartUpload" and each.kind in ("lose", "cut")
                for each in proxy.injected
            )
    assert len(seen) >= 3, "there were faults indeed"
    s3 = aws.client("s3", PUBLISHER)
    left = s3.list_multipart_uploads(Bucket="publish").get("Uploads") or []
    for upload in left:
        s3.abort_multipart_upload(Bucket="publish", Key=upload["Key"], UploadId=upload["UploadId"])
    assert len(left) <= unheard, "nothing half done is left that could be told"
