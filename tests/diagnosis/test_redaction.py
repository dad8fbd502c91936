from __future__ import annotations

import string

import pytest
from hypothesis import example, given, strategies as st

from healing.redaction import is_secret_name, redact

SECRETS = [
    ("password=hunter2 user=bob", "hunter2"),
    ('{"api_key": "a b c", "n": 1}', "a b c"),
    ("postgres://app:s3cr3t@db.shop:5432/x", "s3cr3t"),
    ("redis://:p@ss:w0rd@cache:6379", "p@ss:w0rd"),
    ("Authorization: Bearer abcDEF123456789", "abcDEF123456789"),
    ("authorization=Basic YWxhZGRpbjpvcGVu", "YWxhZGRpbjpvcGVu"),
    ("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
    ("using AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl used", "eyJhbGciOiJIUzI1NiJ9"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----", "MIIEow"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEow", "MIIEow"),
    ("mail from jane.doe+x@example.co.uk arrived", "jane.doe"),
    ("card 4111 1111 1111 1111 declined", "1111 1111"),
    ("./run --password foo123 --verbose", "foo123"),
    ("dbPassword: Tr0ub4dor", "Tr0ub4dor"),
    ("Set-Cookie: sessionid=38afes7a8; Path=/", "38afes7a8"),
    ("AccountKey=Zm9vYmFyYmF6; EndpointSuffix=core", "Zm9vYmFyYmF6"),
    ("clientSecret='with \\' quote'", "with"),
]
KEPT = [
    'secret "db-credentials" not found',
    "couldn't find key password in Secret shop/db",
    "env DB_PASSWORD not set",
    'password authentication failed for user "app"',
    "token is invalid",
    "authentication: failed",
    "author=me spin: 3 keys=3 passed: 12",
    "secretName: web-tls",
    "max_tokens: 4096",
    "basic auth required",
    "dial tcp 10.96.0.12:5432: connect: connection refused",
    "1763860000123456789 took 4111111111111112 ns",
    "image registry.local/web@sha256:" + "ab" * 32,
    "DB_PASSWORD: ${DB_PASSWORD}",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_go(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "[" in redact(text)


@pytest.mark.parametrize("text", KEPT)
def test_what_explains_a_fault_stays(text: str) -> None:
    assert redact(text) == text


def test_the_rest_of_the_line_stays() -> None:
    assert redact("user=bob password=hunter2 host=db") == "user=bob password=[secret] host=db"
    assert redact("postgres://app:x1@db:5432/x refused") == "postgres://app:[secret]@db:5432/x refused"


def test_addresses_only_when_asked() -> None:
    assert redact("to 10.0.0.7:80 v1.2.3.4.5") == "to 10.0.0.7:80 v1.2.3.4.5"
    assert redact("to 10.0.0.7:80", addresses=True) == "to [address]:80"


@given(st.text(max_size=400))
@example("password= password=x")
@example('token: "[x" bearer Aa1Aa1Aa1')
@example("a@b.cc:d@e")
def test_twice_is_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


_VALUE = st.text(string.ascii_letters + string.digits + "!#%*_+", min_size=8, max_size=40).filter(
    lambda v: any(c.isdigit() for c in v) and any(c.isalpha() for c in v)
)
_BEFORE = st.text(string.ascii_lowercase + " .", max_size=20).map(lambda t: t + " ")


@given(
    before=_BEFORE,
    name=st.sampled_from(
        ["password", "DB_PASSWORD", "apiKey", "access_token", "client-secret", "spring.datasource.password"]
    ),
    separator=st.sampled_from(["=", ": ", " = ", '="', "='"]),
    value=_VALUE,
)
def test_a_value_beside_a_secrets_name_never_stays(before: str, name: str, separator: str, value: str) -> None:
    quote = separator[-1] if separator[-1] in "\"'" else ""
    assert value not in redact(f"{before}{name}{separator}{value}{quote} more text")


@pytest.mark.parametrize("name", ["DB_PASSWORD", "apiKey", "X-Auth-Token", "sessionId", "PGPASSWORD", "JWT_SECRET"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["LOG_LEVEL", "author", "secretName", "PORT", "TOKEN_URL", "bypass", "compass", "keyboard"]
)
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_name(name)
