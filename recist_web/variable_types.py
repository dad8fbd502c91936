"""Types of environment variables: what a value has to look like, and what it says to whoever got it wrong."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

# Rust's names for what Python calls differently; the seed's RUST_LOG uses them.
_RUST_LOG_LEVELS = {"trace": "debug", "warn": "warning", "off": "critical"}


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must be a URL such as {schemes[0]}://host:port")
        _ = parts.port  # raises ValueError with its own words for a garbled port
        return value.rstrip("/")

    return AfterValidator(check)


def _database_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("postgres", "postgresql", "sqlite"):
        raise ValueError("must be postgres://user:password@host:5432/name or sqlite:///path/to/file")
    if parts.scheme != "sqlite" and parts.path in ("", "/"):
        raise ValueError("names no database: postgres://user:password@host:5432/NAME")
    _ = parts.port
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("must be a URL such as redis://host:6379")
    _ = parts.port
    return value


def _smtp_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("smtp", "smtp+starttls", "smtps") or not parts.hostname:
        raise ValueError("must be smtp+starttls://user:password@host:587, smtps://host:465 or smtp://host:25")
    _ = parts.port
    return value


def _secret_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an https:// URL")
    _ = parts.port
    return value


def _mail_address(value: str) -> str:
    if not re.fullmatch(r"([^<>@\r\n]*<)?[^@\s,<>]+@[^@\s,<>]+>?", value):
        raise ValueError(f"{value!r} is no e-mail address")
    return value


def _private_place(value: str) -> str:
    if "/" in value:
        ip_network(value, strict=False)  # raises ValueError with its own words
    return value


def _role_of_group(value: str) -> str:
    group, _, role = value.rpartition("=")
    if not group or role not in ("viewer", "operator", "approver", "admin"):
        raise ValueError(f"{value!r} is not GROUP=ROLE with a role of viewer, operator, approver, admin")
    return value


def comma_separated(value: object) -> object:
    """For pydantic: `a, b` is a list too."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _log_level(value: object) -> object:
    """Accepts `info`, Python's and Rust's names, and a Rust filter such as `info,recist=debug` (its bare level)."""
    if not isinstance(value, str):
        return value
    bare = [part.strip().lower() for part in value.split(",") if "=" not in part and part.strip()]
    level = bare[-1] if bare else "info"
    return _RUST_LOG_LEVELS.get(level, level)


def namespace(value: str) -> str:
    """For pydantic: the name of a namespace."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise ValueError(f"{value!r} is not the name of a namespace")
    return value


def _host_name(value: str) -> str:
    if "://" in value or "/" in value:
        raise ValueError(f"{value!r} is not a host name: give names without scheme and path")
    return value


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+", value):
        raise ValueError(f"{value!r} is not an origin: give https://host[:port] without a path")
    return value


def _off(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "off" else value


def headers_of(text: str) -> dict[str, str]:
    """`X-Scope-OrgID=shop, X-Key=abc`, or one a line. Raises `ValueError` for what is no header."""
    found = {}
    for part in text.splitlines() if "\n" in text.strip() else text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not equals or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not value.isprintable():
            raise ValueError("must be NAME=value, several separated by commas or one a line")
        found[name] = value
    return found


def _headers(value: SecretStr) -> SecretStr:
    headers_of(value.get_secret_value())
    return value


Headers = Annotated[SecretStr, AfterValidator(_headers)]
HttpUrl = Annotated[str, _url("http", "https")]
# `off`: there is no such server, and that source of signals is left out.
HttpUrlOrOff = Annotated[HttpUrl | None, BeforeValidator(_off)]


HostNames = Annotated[list[Annotated[str, AfterValidator(_host_name)]], BeforeValidator(comma_separated)]
MailAddresses = Annotated[list[Annotated[str, AfterValidator(_mail_address)]], BeforeValidator(comma_separated)]
PrivatePlaces = Annotated[list[Annotated[str, AfterValidator(_private_place)]], BeforeValidator(comma_separated)]
RolesOfGroups = Annotated[list[Annotated[str, AfterValidator(_role_of_group)]], BeforeValidator(comma_separated)]
Occasions = Annotated[
    list[
        Literal[
            "detected",
            "approvalNeeded",
            "approvalExpiring",
            "healed",
            "declined",
            "escalated",
            "storm",
            "halted",
            "warning",
        ]
    ],
    BeforeValidator(comma_separated),
]
Namespaces = Annotated[list[Annotated[str, AfterValidator(namespace)]], BeforeValidator(comma_separated)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
SmtpUrl = Annotated[SecretStr, AfterValidator(_smtp_url)]
SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_log_level)]
Origins = Annotated[list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(comma_separated)]
