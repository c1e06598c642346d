"""Models of the secrets and parameters of a sandbox file, and their creation."""

import json
import re
from typing import Annotated, Any, Literal, Optional

from pydantic import Field, model_validator

from rolerunner.redaction.secrets import register_secret
from rolerunner.sandbox.statements import Grants, policy_document
from rolerunner.spec.field_types import Account, StrictModel

SUFFIX_TAG = "rolerunner:suffix"
"""The tag by which child.py learns the last characters of a secret's ARN."""
_SECRET_ARN = re.compile(
    r"arn:aws:secretsmanager:(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":secret:(?P<name>[\w/+=.@!-]+)-(?P<suffix>[A-Za-z0-9]{6})\Z",
    re.ASCII,
)


class SandboxSecret(StrictModel):
    """A secret of Secrets Manager: its name and account, or its ARN, and its value."""

    name: Optional[str] = Field(None, min_length=1)
    account: Optional[Account] = None
    region: Optional[str] = None
    arn: Optional[Annotated[str, Field(pattern=_SECRET_ARN.pattern.replace("\\Z", "$"))]] = None
    text: Optional[str] = Field(None, min_length=1)
    json_: Any = Field(None, alias="json")
    binary: Optional[str] = None
    policy: Grants = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_one_place_and_value(self) -> "SandboxSecret":
        if self.arn is not None and self.model_fields_set & {"name", "account", "region"}:
            raise ValueError("a secret has either 'arn', or 'name' and 'account'")
        if self.arn is None and (self.name is None or self.account is None):
            raise ValueError("a secret must have 'name' and 'account', or 'arn'")
        if len(self.model_fields_set & {"text", "json_", "binary"}) != 1:
            raise ValueError("a secret must have exactly one of text, json or binary")
        return self

    @classmethod
    def is_whole_arn(cls, text: str) -> bool:
        """Returns True for an ARN with the six characters at its end."""
        return _SECRET_ARN.match(text) is not None

    @property
    def owner(self) -> str:
        """The account that it belongs to."""
        return self._arn_part("account") or str(self.account)

    @property
    def home(self) -> str:
        """Its region; empty for the sandbox's."""
        return self._arn_part("region") or self.region or ""

    @property
    def title(self) -> str:
        """Its name."""
        return self._arn_part("name") or str(self.name)

    @property
    def place(self) -> str:
        """Returns the identity that no other secret has."""
        return self.arn or ":".join(filter(None, (self.region, self.account, self.name)))

    @property
    def suffix(self) -> str:
        """The last characters of its ARN; empty for any."""
        return self._arn_part("suffix")

    @property
    def value(self) -> str:
        """Its value as text."""
        if self.binary is not None:
            return self.binary
        return self.text if self.text is not None else json.dumps(self.json_)

    def _arn_part(self, part: str) -> str:
        match = _SECRET_ARN.match(self.arn or "")
        return match[part] if match else ""


class SandboxParameter(StrictModel):
    """A parameter of Systems Manager."""

    name: str = Field(min_length=1)
    account: Account
    region: Optional[str] = None
    text: str = Field(min_length=1)
    type: Literal["SecureString", "String", "StringList"] = "SecureString"

    @property
    def place(self) -> str:
        """Returns the identity that no other parameter has."""
        return ":".join(filter(None, (self.region, self.account, self.name)))


def create_secret(secret: SandboxSecret, client: Any) -> None:
    """Creates a secret by a client of its account; its value is then redacted from all output."""
    value = register_secret(secret.value)
    content: dict[str, Any] = (
        {"SecretString": str(value)}
        if secret.binary is None
        else {"SecretBinary": str(value).encode()}
    )
    tags = [{"Key": SUFFIX_TAG, "Value": secret.suffix}] if secret.suffix else []
    client.create_secret(Name=secret.title, Tags=tags, **content)
    if secret.policy:
        client.put_resource_policy(
            SecretId=secret.title, ResourcePolicy=policy_document(secret.policy)
        )


def create_parameter(parameter: SandboxParameter, client: Any) -> None:
    """Creates a parameter by a client of its account."""
    if parameter.type == "SecureString":
        register_secret(parameter.text)
    client.put_parameter(Name=parameter.name, Value=parameter.text, Type=parameter.type)
