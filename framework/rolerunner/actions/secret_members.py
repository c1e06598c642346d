"""Members of AWS's answers that are secrets although their models do not mark them as sensitive."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rolerunner.redaction.secret_names import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEMBERS: Mapping[str, frozenset[str]] = {
    "amplifybackend": frozenset({"ChallengeCode"}),
    "apigateway": frozenset({"value"}),
    "appstream": frozenset({"StreamingURL"}),
    "appsync": frozenset({"ApiKey.id"}),
    "batch": frozenset({"environment"}),
    "chime": frozenset({"PersonalPIN"}),
    "codebuild": frozenset({"environmentVariables"}),
    "datazone": frozenset({"authCodeUrl", "authorizationCode"}),
    "directconnect": frozenset({"authKey"}),
    "ec2": frozenset({"KeyMaterial", "PasswordData", "UserData"}),
    "elasticbeanstalk": frozenset({"ConfigurationOptionSetting.Value"}),
    "emr": frozenset({"PresignedURL"}),
    "grafana": frozenset({"key"}),
    "iam": frozenset({"Base32StringSeed", "QRCodePNG", "ServicePassword"}),
    "invoicing": frozenset({"ProcurementPortalSharedSecret"}),
    "iotwireless": frozenset({
        "AppKey", "AppSKey", "FNwkSIntKey", "GenAppKey", "NwkKey", "NwkSEncKey", "NwkSKey",
        "PrivateKeys", "SNwkSIntKey",
    }),
    "kinesisanalyticsv2": frozenset({"AuthorizedUrl"}),
    "kms": frozenset({"Plaintext", "PrivateKeyPlaintext", "SharedSecret"}),
    "lightsail": frozenset({"privateKeyBase64", "protectedPassword"}),
    "marketplace-reporting": frozenset({"embedUrl"}),
    "pinpoint": frozenset({"Credential"}),
    "sagemaker": frozenset({"AuthorizedUrl"}),
    "ssm": frozenset({"Value"}),
    "sso-oidc": frozenset({"deviceCode", "userCode", "verificationUriComplete"}),
}  # fmt: skip
"""Service -> members of its answers that are secrets, by their name, or by that of their shape and
their own where others have the same name."""
_URL = re.compile(r"(?:ur[il]|link|location)s?$", re.IGNORECASE)
_PRESIGNED = re.compile(r"pre-?signed", re.IGNORECASE)
_NAMED_ACCESS = re.compile(r"presigned|signedurl|webhookurl$", re.IGNORECASE)
_NOT_PRESIGNED = frozenset({"transcribe"})
"""Services whose documentation speaks of signed URLs where their answers have plain ones, too."""
_ENVIRONMENT = re.compile(r"environment(?:variables|override)?$", re.IGNORECASE)
_USER_DATA = re.compile(r"userdata(?:override)?$", re.IGNORECASE)
"""The script of an instance's start: EC2's own model marks it in one place of several."""


def is_secret_member(name: str, shape: Any, service: str, owner: str = "") -> bool:
    """Returns True if a member of this name and shape is a secret; ``owner`` names what has it."""
    members = _MEMBERS.get(service, ())
    if name in members or f"{owner}.{name}" in members or _is_environment(name, shape):
        return True
    if _holds_text(shape) and _grants_access(name, shape, service):
        return True
    is_value = shape.type_name not in ("structure", "map") and not getattr(shape, "enum", None)
    return is_value and is_secret_name(name)


def _holds_text(shape: Any) -> bool:
    inner = {"list": "member", "map": "value"}.get(shape.type_name)
    return bool((getattr(shape, inner) if inner else shape).type_name == "string")


def _grants_access(name: str, shape: Any, service: str) -> bool:
    """Returns True for a URL that grants access by itself, and for the user data of an instance."""
    if _NAMED_ACCESS.search(name) or _USER_DATA.search(name):
        return True
    return bool(
        service not in _NOT_PRESIGNED
        and _URL.search(name)
        and _PRESIGNED.search(shape.documentation or "")
    )


def _is_environment(name: str, shape: Any) -> bool:
    """Returns True for the variables of a process, as a mapping or as a list of pairs."""
    if not _ENVIRONMENT.search(name):
        return False
    if shape.type_name == "map":
        return bool(shape.value.type_name == "string")
    pair = shape.member if shape.type_name == "list" else None
    return pair is not None and {each.lower() for each in getattr(pair, "members", ())} >= {
        "name",
        "value",
    }
