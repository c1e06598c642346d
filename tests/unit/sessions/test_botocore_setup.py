from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Optional

import pytest
from botocore.exceptions import NoCredentialsError

from rolerunner.errors import UsageError
from rolerunner.sessions.botocore_setup import BotocoreSessions, build_client_config
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.service_models import shared_loader
from rolerunner.sessions.timestamps import parse_timestamp

if TYPE_CHECKING:
    from pathlib import Path

KEYS = Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests")


@pytest.mark.parametrize(
    ("endpoint", "is_path_style"),
    [
        (None, False),
        ("https://s3.eu-west-1.amazonaws.com", False),
        ("https://s3.cn-north-1.amazonaws.com.cn:443/", False),
        ("https://s3.amazonaws.com.example.org", True),
        ("http://127.0.0.1:9000", True),
    ],
)
def test_other_servers_are_addressed_by_path(endpoint: Optional[str], is_path_style: bool) -> None:
    config = build_client_config(endpoint)
    assert (config.s3 == {"addressing_style": "path"}) is is_path_style


def test_a_region_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="set AWS_REGION"):
        BotocoreSessions(JobIdentity(keys=KEYS)).require_region()
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert BotocoreSessions(JobIdentity(keys=KEYS)).require_region() == "eu-west-1"
    assert BotocoreSessions(JobIdentity("us-east-1", keys=KEYS)).find_region() == "us-east-1"


def test_a_missing_profile_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(UsageError, match="set AWS_PROFILE"):
        BotocoreSessions(JobIdentity(profile="no-such-profile")).find_region()


@pytest.mark.parametrize("region", ["eu-west-1\n", "eu west 1", "eu_west_1", "x" * 64])
def test_a_region_with_white_space_is_a_usage_error(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(UsageError, match="is not the name of a region: correct AWS_REGION"):
        BotocoreSessions(JobIdentity(keys=KEYS)).require_region()


def test_settings_that_cannot_be_parsed_are_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile x\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    sessions = BotocoreSessions(JobIdentity())
    for read in (sessions.find_region, sessions.find_ca_bundle):
        with pytest.raises(UsageError, match=r"cannot be read: .*config"):
            read()


def test_roles_of_a_profile_are_assumed_in_the_jobs_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-3")  # which botocore does not read
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID-OF-UNIT-TESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key-of-unit-tests")
    sessions = BotocoreSessions(JobIdentity())
    sessions.load_job_credentials()
    assert sessions._reader is not None
    assert sessions._reader.get_config_variable("region") == "eu-west-3"


def test_a_job_without_credentials_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NoCredentialsError):
        BotocoreSessions(JobIdentity("eu-west-1")).load_job_credentials()


def test_sessions_share_models_and_parse_timestamps_fast() -> None:
    sessions = BotocoreSessions(JobIdentity("eu-west-1", keys=KEYS))
    for session in (sessions.create_session(), sessions.create_session(KEYS.to_credentials())):
        assert session.get_component("data_loader") is shared_loader()
        factory = session.get_component("response_parser_factory")
        assert factory.create_parser("query")._timestamp_parser is parse_timestamp


def test_a_session_has_the_given_credentials_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID-OF-THE-ENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key-of-the-environment")
    sessions = BotocoreSessions(JobIdentity("eu-west-1"))
    given = KEYS.to_credentials()
    assert sessions.create_session(given).get_credentials() is given
    assert sessions.load_job_credentials().access_key == "AKID-OF-THE-ENVIRONMENT"
    own = BotocoreSessions(JobIdentity("eu-west-1", keys=KEYS)).load_job_credentials()
    assert own.access_key == "AKID-OF-UNIT-TESTS"


def test_a_handler_that_takes_no_keywords_is_refused() -> None:
    session = BotocoreSessions(JobIdentity(keys=KEYS)).create_session()
    with pytest.raises(ValueError, match="kwargs"):
        session.register("before-send.s3", lambda request: request)


def test_clients_repeat_and_wait_within_limits() -> None:
    config = build_client_config()
    assert config.retries == {"mode": "standard", "total_max_attempts": 6}
    assert (config.connect_timeout, config.read_timeout) == (10, 60)
    assert (config.max_pool_connections, config.user_agent_extra) == (64, "rolerunner")
    assert build_client_config(connections=7).max_pool_connections == 7


def test_the_settings_of_a_call_come_before_those_of_the_job() -> None:
    sessions = BotocoreSessions(JobIdentity(endpoints={"": "http://127.0.0.1:9"}, keys=KEYS))
    found = sessions.resolve_client_settings("s3")
    assert found["endpoint_url"] == "http://127.0.0.1:9"
    assert found["config"].s3 == {"addressing_style": "path"}
    assert sessions.resolve_client_settings("sqs")["config"].s3 is None
    config = build_client_config()
    found = sessions.resolve_client_settings("s3", "http://127.0.0.1:8", config)
    assert found == {"endpoint_url": "http://127.0.0.1:8", "config": config}


def test_a_profile_decides_on_endpoints_and_how_buckets_are_addressed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(
        "[profile ignoring]\nignore_configured_endpoint_urls = true\n"
        "[profile virtual]\ns3 =\n  addressing_style = virtual\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    monkeypatch.delenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", raising=False)
    ignoring = BotocoreSessions(JobIdentity(profile="ignoring"))
    assert ignoring.find_endpoint("s3") == ""
    assert ignoring.resolve_client_settings("sts")["endpoint_url"] is None
    own = JobIdentity(profile="ignoring", endpoints={"": "http://127.0.0.1:9"})
    assert BotocoreSessions(own).find_endpoint("s3") == "http://127.0.0.1:9"
    virtual = BotocoreSessions(JobIdentity(profile="virtual"))
    assert virtual.find_endpoint("s3") == "https://s3.example.org"
    assert virtual.resolve_client_settings("s3")["config"].s3 is None


def test_certificates_that_are_not_there_are_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sessions = BotocoreSessions(JobIdentity(keys=KEYS))
    for path, is_there in ((tmp_path, True), (tmp_path / "none.pem", False)):
        monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
        with (
            contextlib.nullcontext()
            if is_there
            else pytest.raises(UsageError, match="there are no certificates")
        ):
            sessions.require_ca_bundle()


def test_the_certificates_of_each_environment_are_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = BotocoreSessions(JobIdentity(keys=KEYS))
    monkeypatch.setenv("AWS_CA_BUNDLE", "/one.pem")
    assert sessions.find_ca_bundle() == "/one.pem"
    monkeypatch.setattr(sessions, "create_session", None)
    assert sessions.find_ca_bundle() == "/one.pem"


def test_event_handlers_are_registered_once() -> None:
    sessions = BotocoreSessions(JobIdentity(keys=KEYS))
    first, second = (sessions.create_session().get_component("event_emitter") for _ in range(2))
    event = "before-parameter-build.s3.PutObject"
    counts = [len(each._emitter._handlers.prefix_search(event)) for each in (first, second)]
    assert counts[0] == counts[1] > 0
