"""Signatures: AWS's own examples, and whatever botocore's signer makes of the same request."""

from __future__ import annotations

import hashlib
import re
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ParamValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.storage.http.sigv4 import Signer, build_query, quote_key
from rolerunner.storage.native.templates import Address, RequestTemplate

EMPTY = hashlib.sha256(b"").hexdigest()
HOST = "examplebucket.s3.amazonaws.com"
KEYS = SimpleNamespace(
    access_key="AKIAIOSFODNN7EXAMPLE",
    secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    token=None,
)

# Amazon S3 API reference, "Signature Calculations for the Authorization Header", examples
EXAMPLES = [
    ("GET", "/test.txt", "", {"range": "bytes=0-9"}, EMPTY,
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    (
        "PUT", quote_key("/test$file.text"), "",
        {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    ("GET", "/", build_query([("lifecycle", "")]), {}, EMPTY,
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    ("GET", "/", build_query([("prefix", "J"), ("max-keys", "2")]), {}, EMPTY,
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "query", "headers", "payload", "signature"), EXAMPLES)
def test_the_published_examples(
    method: str, path: str, query: str, headers: dict[str, str], payload: str, signature: str
) -> None:
    form = Signer(None, "us-east-1").create_template_at(
        "20130524T000000Z", KEYS, {**headers, "host": HOST}, (), payload
    )
    assert form.head(method, path, query, {}).endswith(f"Signature={signature}\r\n\r\n")


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
VALUE = st.text("abc 019-/=;", max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["GET", "PUT", "POST", "HEAD", "DELETE"]), TEXT,
    st.dictionaries(st.sampled_from(["prefix", "versionId", "delete", "a~b c"]), TEXT),
    st.dictionaries(
        st.sampled_from(
            ["x-amz-meta-a%b", "content-type", "range", "if-match", "x-amz-tagging", "expect"]
        ),
        VALUE,
    ),
    st.sets(st.sampled_from(["content-type", "x-amz-meta-a%b", "x-amz-tagging", "expect"])),
    st.none() | st.just("a/token+="),
)  # fmt: skip
def test_botocore_signs_the_same(
    method: str,
    key: str,
    query: dict[str, str],
    headers: dict[str, str],
    differing: set[str],
    token: str | None,
) -> None:
    path, text = f"/bucket/{quote_key(key)}", build_query(query.items())
    url = f"https://host.example{path}?{text}" if text else f"https://host.example{path}"
    request = AWSRequest(method, url, dict(headers))
    request.context["client_config"] = SimpleNamespace(s3={"payload_signing_enabled": False})
    request.context["payload_signing_enabled"] = False
    S3SigV4Auth(Credentials("AKID", "a secret", token), "s3", "eu-west-1").add_auth(request)
    keys = SimpleNamespace(access_key="AKID", secret_key="a secret", token=token)
    payload = request.headers["X-Amz-Content-SHA256"]
    values = {name: value for name, value in headers.items() if name in differing}
    fixed = {
        "host": "host.example",
        **{name: value for name, value in headers.items() if name not in differing},
    }
    form = Signer(None, "eu-west-1").create_template_at(
        request.headers["X-Amz-Date"], keys, fixed, tuple(values), payload
    )
    first, *lines = form.head(method, path, text, values).removesuffix("\r\n\r\n").split("\r\n")
    assert (
        first == f"{method} {path}?{text} HTTP/1.1"
        if text
        else first == f"{method} {path} HTTP/1.1"
    )
    sent = dict(line.split(": ", 1) for line in lines)
    assert sent.pop("authorization") == request.headers["Authorization"]
    assert sent.items() >= {**headers, "host": "host.example"}.items()
    assert form.is_sound


@given(TEXT)
def test_keys_are_quoted_as_botocore_quotes_them(key: str) -> None:
    assert quote_key(key) == quote(key.encode(), safe="/~")


def test_a_renewed_session_signs_the_next_request() -> None:
    tokens = iter(["one", "two"])

    class Renewing:
        def get_frozen_credentials(self) -> object:
            token = next(tokens)
            return SimpleNamespace(
                access_key=f"AKID{token}", secret_key=f"secret {token}", token=token
            )

    signer = Signer(Renewing(), "eu-west-1", clock=lambda: 1e9)
    form, seen = None, []
    for _ in range(2):
        form = signer.create_template(form, {"host": "h"})
        seen.append(
            re.findall(
                "token: (\\w+)|Credential=(\\w+)/|Signature=(\\w+)", form.head("GET", "/", "", {})
            )
        )
    (one, signed_by_one), (two, signed_by_two) = ((each[0][0], each[1:]) for each in seen)
    assert (one, two) == ("one", "two")
    assert signed_by_one != signed_by_two


@pytest.mark.parametrize("value", ["a\nb", "a\r", "ü", "\u2028"])
@pytest.mark.parametrize("differs", [True, False])
def test_no_request_is_made_of_what_no_header_can_hold(value: str, differs: bool) -> None:
    signer = Signer(SimpleNamespace(get_frozen_credentials=lambda: KEYS), "eu-west-1")
    headers = {"x-amz-meta-a": value}
    made = RequestTemplate(
        "PutObject",
        "PUT",
        Address(secure=True, host="h", port=443),
        "h",
        "/bucket/",
        (),
        {} if differs else headers,
        signer,
    )
    with pytest.raises(ParamValidationError, match="line break"):
        made.sign("key", headers if differs else {})
    with pytest.raises(ParamValidationError, match="line break"):
        made.sign("key", {f"x-amz-meta-{value}": "a"})


def test_what_signs_a_second_is_put_together_once() -> None:
    seconds = iter([1e9, 1e9 + 0.9, 1e9 + 1])
    signer = Signer(
        SimpleNamespace(get_frozen_credentials=lambda: KEYS),
        "eu-west-1",
        clock=lambda: next(seconds),
    )
    first = signer.create_template(None, {"host": "h"})
    assert signer.create_template(first, {"host": "h"}) is first
    later = signer.create_template(first, {"host": "h"})
    assert (first.stamp, later.stamp) == ("20010909T014640Z", "20010909T014641Z")
