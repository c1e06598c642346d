"""Settings name themselves without secrets."""

from __future__ import annotations

from rolerunner.model import EmfSettings, Notification, OtlpSettings, Telemetry


def test_a_webhook_is_named_by_its_position() -> None:
    webhook = Notification(("failed",), "webhook", "https://example.com/secret", number=2)
    topic = Notification(("failed",), "sns", "arn:aws:sns:eu-west-1:111122223333:ends")
    assert webhook.label == "webhook notify[2]"
    assert topic.label == "sns arn:aws:sns:eu-west-1:111122223333:ends"


def test_the_reports_that_are_on_are_named_by_their_keys() -> None:
    assert Telemetry().reports == ()
    assert Telemetry(emf=EmfSettings(), otlp=OtlpSettings()).reports == ("metrics", "traces")
