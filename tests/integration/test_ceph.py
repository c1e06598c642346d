"""Both configs, multipart and a state in S3, on a Ceph Object Gateway with its own STS."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests import ceph
from tests.conftest import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JOB, PARTNER, PUBLISHER = "111122223333", "222233334444", "444455556666"
PART = 8 << 20
ENGINES = ("fast", "boto3")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.skipif(
        bool(ceph.explain_missing_ceph()), reason=ceph.explain_missing_ceph() or "Ceph is here"
    ),
]


def allow(actions: list[str], *places: str) -> dict[str, Any]:
    # a bucket's account is a part of its ARN here, and is its tenant
    return {
        "Effect": "Allow",
        "Action": actions,
        "Resource": [f"arn:aws:s3:::{place}" for place in places],
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[ceph.Ceph]:
    with ceph.start_ceph() as running:
        for tenant in (JOB, PARTNER, PUBLISHER):
            running.create_user(tenant, "owner")
        running.create_user(JOB, "job")
        job = f"arn:aws:iam::{JOB}:user/job"
        second = "glue-role-test-to-be-assumed"
        running.create_role(
            JOB,
            second,
            job,
            allow(
                ["s3:ListBucket", "s3:GetObject"],
                "team-data-111122223333",
                "team-data-111122223333/*",
            ),
        )
        running.create_role(
            PUBLISHER,
            second,
            job,
            allow(
                ["s3:ListBucket", "s3:GetObject"],
                "partner-data-444455556666",
                "partner-data-444455556666/*",
            ),
        )
        running.create_role(
            PARTNER,
            "landing-reader",
            job,
            allow(
                ["s3:ListBucket", "s3:GetObject", "s3:GetObjectTagging"],
                "partner-landing",
                "partner-landing/*",
            ),
        )
        everything = [
            "s3:PutObject",
            "s3:AbortMultipartUpload",
            "s3:GetObject",
            "s3:ListBucket",
            "s3:DeleteObject",
            "s3:PutObjectTagging",
            "s3:GetObjectTagging",
        ]
        running.create_role(PUBLISHER, "publisher", job, allow(everything, "publish", "publish/*"))
        running.create_role(JOB, "keeper", job, allow(everything, "keep", "keep/*"))
        _fill(running)
        yield running


def _fill(running: ceph.Ceph) -> None:
    demo = "test_path/some_demo_file.gz"
    for tenant, bucket, objects in (
        (
            JOB,
            "team-data-111122223333",
            {demo: gzip.compress(b"a file that only the second role may read\n")},
        ),
        (
            PUBLISHER,
            "partner-data-444455556666",
            {demo: gzip.compress(b"a file of another account\n")},
        ),
        (
            PARTNER,
            "partner-landing",
            {
                "orders/2026-01-01/north.csv.gz": gzip.compress(
                    b"order_id,customer,country,amount,currency\n"
                    b"1,Ada,gb,12.50,GBP\n"
                    b"2,Grace,us,,USD\n"
                ),
                "orders/2026-01-01/late/west.csv.gz": gzip.compress(
                    b"order_id,customer,country,amount,currency\n5,Barbara,us,44.00,USD\n"
                ),
            },
        ),
        (PUBLISHER, "publish", {}),
        (JOB, "keep", {}),
    ):
        client = running.client(tenant, "owner")
        client.create_bucket(Bucket=bucket)
        for key, body in objects.items():
            client.put_object(Bucket=bucket, Key=key, Body=body)
    running.client(JOB, "job").create_bucket(Bucket="own")


@pytest.fixture
def run(
    cluster: ceph.Ceph,
    rolerunner: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., dict[str, Any]]:
    for name, value in cluster.user_environment(JOB, "job").items():
        monkeypatch.setenv(name, value)

    def result_of(spec: Path, *options: str, status: int = 0) -> dict[str, Any]:
        completed = rolerunner("run", spec, "--result", tmp_path / "result.json", *options)
        assert completed.returncode == status, completed.stdout + completed.stderr
        return json.loads((tmp_path / "result.json").read_text())  # type: ignore[no-any-return]

    return result_of


def spec_of(tmp_path: Path, engine: str, steps: str, more: str = "") -> Path:
    path = tmp_path / "job.yaml"
    roles = (
        "roles:\n"
        f"  keeper: arn:aws:iam::{JOB}:role/keeper\n"
        f"  publisher: arn:aws:iam::{PUBLISHER}:role/publisher\n"
        f"  partner: arn:aws:iam::{PARTNER}:role/landing-reader\n"
    )
    path.write_text(f"version: 1\nname: on-ceph\nengine: {engine}\n{more}{roles}steps:\n{steps}")
    return path


def config_for(name: str, engine: str, tmp_path: Path) -> Path:
    """A config with an engine of its own, beside a link to the functions that it calls."""
    (tmp_path / "jobs").symlink_to(CONFIGS.parent / "jobs")
    path = tmp_path / f"{name}.yaml"
    path.write_text(
        (CONFIGS / f"{name}.yaml")
        .read_text()
        .replace("\nroles:", f"\nengine: {engine}\n\nroles:", 1)
    )
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_role_reads_what_the_job_may_not(
    engine: str, run: Callable[..., Any], tmp_path: Path
) -> None:
    result = run(config_for("blog_cross_role", engine, tmp_path), "-p", f"target={tmp_path}/out/")
    steps = {step["id"]: step for step in result["steps"]}
    assert {name: step["status"] for name, step in steps.items()} == {
        "see": "succeeded",
        "refused": "failed",
        "fetch": "succeeded",
        "find_elsewhere": "succeeded",
        "fetch_elsewhere": "succeeded",
    }
    assert (
        "s3:GetObject on arn:aws:s3:::team-data-111122223333/test_path/some_demo_file.gz"
        in steps["refused"]["error"]["message"]
    )
    assert (
        gzip.decompress((tmp_path / "out/as_second_role/some_demo_file.gz").read_bytes())
        == b"a file that only the second role may read\n"
    )
    assert (
        gzip.decompress((tmp_path / "out/as_other_account/some_demo_file.gz").read_bytes())
        == b"a file of another account\n"
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_orders_are_fetched_and_published(
    engine: str, run: Callable[..., Any], cluster: ceph.Ceph, tmp_path: Path
) -> None:
    result = run(
        config_for("partner_exchange", engine, tmp_path), "-p", f"workdir={tmp_path}/work/"
    )
    assert result["status"] == "succeeded"
    client = cluster.role_client(f"arn:aws:iam::{PUBLISHER}:role/publisher", JOB, "job")
    mark = json.loads(
        client.get_object(Bucket="publish", Key="orders/2026-01-01/_SUCCESS")["Body"].read()
    )
    assert (mark["fetched"], mark["kept"], mark["dropped"], mark["published"]) == (2, 2, 1, 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_role_that_may_not_be_assumed_is_named(
    engine: str, run: Callable[..., Any], tmp_path: Path
) -> None:
    steps = "  - {id: a, action: s3.list, role: none, source: 's3://publish/'}\n"
    spec = spec_of(tmp_path, engine, steps)
    spec.write_text(
        spec.read_text().replace(
            "roles:\n", f"roles:\n  none: arn:aws:iam::{PUBLISHER}:role/none\n"
        )
    )
    result = run(spec, status=3)
    said = json.dumps(result)
    assert "role/none" in said
    assert "None" not in said, "the gateway gives no message"


@pytest.mark.parametrize("engine", ENGINES)
def test_large_objects_go_there_back_and_between_roles(
    engine: str, run: Callable[..., Any], cluster: ceph.Ceph, tmp_path: Path
) -> None:
    data = os.urandom(3 * PART + 12345)
    (tmp_path / "big.bin").write_bytes(data)
    cluster.client(PARTNER, "owner").put_object(Bucket="partner-landing", Key="big/a b", Body=data)
    # a copy within S3 as the job itself: this Ceph lets no role's session read the source of a copy
    steps = (
        f"  - {{id: up, action: s3.upload, role: job, source: {tmp_path}/big.bin, "
        f"target: 's3://own/{engine}/big.bin'}}\n"
        "  - {id: copy, action: s3.copy, source_role: job, target_role: job, "
        f"source: 's3://own/{engine}/big.bin',"
        f" target: 's3://own/{engine}/copy.bin', multipart_above: 16MiB, part_size: 8MiB}}\n"
        "  - {id: move, action: s3.copy, source_role: job, target_role: keeper, "
        f"source: 's3://own/{engine}/', target: 's3://keep/{engine}/', move: true}}\n"
        "  - {id: relay, action: s3.copy, source_role: partner, target_role: keeper, "
        "source: 's3://partner-landing/big/',"
        f" target: 's3://keep/{engine}/relayed/'}}\n"
        "  - {id: down, action: s3.download, role: keeper, "
        f"source: 's3://keep/{engine}/', target: {tmp_path}/out/}}\n"
    )
    result = run(spec_of(tmp_path, engine, steps))
    assert result["status"] == "succeeded"
    assert {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() == data
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    } == {
        "big.bin": True,
        "copy.bin": True,
        "relayed/a b": True,
    }
    assert "Uploads" not in cluster.client(JOB, "owner").list_multipart_uploads(Bucket="keep"), (
        "nothing of an upload is left"
    )
    left = [
        each["Key"]
        for each in cluster.client(JOB, "job").list_objects_v2(Bucket="own").get("Contents", ())
        if each["Key"].startswith(engine)
    ]
    assert left == [], "what was moved is gone"


@pytest.mark.parametrize("engine", ENGINES)
def test_tags_go_along(
    engine: str, run: Callable[..., Any], cluster: ceph.Ceph, tmp_path: Path
) -> None:
    partner = cluster.client(PARTNER, "owner")
    partner.put_object(
        Bucket="partner-landing", Key="small/tagged", Body=b"x", Tagging="a%20b=c%20d"
    )
    partner.put_object(Bucket="partner-landing", Key="small/plain", Body=b"x")
    (tmp_path / "up").write_text("x")
    steps = (
        f"  - {{id: up, action: s3.upload, role: keeper, source: {tmp_path}/up, "
        f"target: 's3://keep/{engine}-tags/up', tags: {{a b: c d}}}}\n"
        "  - {id: relay, action: s3.copy, source_role: partner, target_role: keeper, "
        "source: 's3://partner-landing/small/',"
        f" target: 's3://keep/{engine}-tags/'}}\n"
    )
    assert run(spec_of(tmp_path, engine, steps))["status"] == "succeeded"
    client = cluster.role_client(f"arn:aws:iam::{JOB}:role/keeper", JOB, "job")
    tags = {
        key: client.get_object_tagging(Bucket="keep", Key=f"{engine}-tags/{key}").get("TagSet", [])
        for key in ("up", "tagged", "plain")
    }
    assert tags == {
        "up": [{"Key": "a b", "Value": "c d"}],
        "tagged": [{"Key": "a b", "Value": "c d"}],
        "plain": [],
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_resumes_from_a_state_in_s3(
    engine: str, run: Callable[..., Any], tmp_path: Path
) -> None:
    state = f"state: {{location: 's3://publish/state-{engine}/', role: publisher}}\n"
    steps = (
        "  - {id: first, action: s3.write, role: publisher, "
        f"target: 's3://publish/{engine}/one', text: one, if_none_match: true}}\n"
        "  - {id: second, action: s3.upload, role: publisher, "
        f"source: {tmp_path}/late.txt, target: 's3://publish/{engine}/two', "
        "if_exists: fail}\n"
    )
    spec = spec_of(tmp_path, engine, steps, state)
    failed = run(spec, "--run-key", "key", status=4)
    assert [step["status"] for step in failed["steps"]] == ["succeeded", "failed"]
    (tmp_path / "late.txt").write_text("two")
    resumed = run(spec, "--resume", "key")
    assert resumed["steps"][1]["status"] == "succeeded"
