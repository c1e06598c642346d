import json
from pathlib import Path

from click.testing import CliRunner

from rolerunner.cli import main

CONFIGS = Path(__file__).parents[2] / "configs"


def test_what_the_jobs_role_may_not_is_said_with_the_statement_to_add():
    done = CliRunner().invoke(main, ["check", str(CONFIGS / "blog_cross_role.yaml"), "--sandbox", "--json"])
    assert done.exit_code == 4
    found = {(each["step"], each["action"]): each for each in json.loads(done.stdout)}
    assert found["refused", "s3:GetObject"]["answer"] == "no"
    assert '"Action": "s3:GetObject"' in found["refused", "s3:GetObject"]["remedy"]
    assert found["fetch", "s3:GetObject"]["answer"] == "yes"


def test_nothing_is_known_to_be_missing_where_a_run_succeeds():
    done = CliRunner().invoke(main, ["check", str(CONFIGS / "partner_exchange.yaml"), "--sandbox"])
    assert done.exit_code == 0, done.output
