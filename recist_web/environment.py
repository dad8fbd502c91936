"""The environment variables ReCiSt reads: one class, parsed strictly.

A value that cannot be used never ends in a traceback: it is left out (its default holds), noted in
`ParsedEnvironment.problems`, and reported by the system checks as `recist.E001` with a hint. The server processes
refuse to start while there are problems; `manage.py check` prints them.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, ValidationError

PROJECT_DIR = Path(__file__).resolve().parent.parent
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
# Rust's names for what Python calls differently; the seed's RUST_LOG uses them.
_RUST_LOG_LEVELS = {"trace": "debug", "warn": "warning", "off": "critical"}
CLUSTER_NAME_PATTERN = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"
# A secret may come from a file instead (a mounted Kubernetes Secret): NAME_FILE holds its path.
SECRETS = (
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "DATABASE_URL",
    "REDIS_URL",
    "LLM_API_KEY",
    "EMBEDDING_API_KEY",
    "QDRANT_API_KEY",
    "OIDC_CLIENT_SECRET",
    "SMTP_URL",
    "NOTIFY_SLACK_URL",
    "NOTIFY_PAGERDUTY_KEY",
    "NOTIFY_WEBHOOK_KEY",
    "PROMETHEUS_PASSWORD",
    "PROMETHEUS_HEADERS",
    "LOKI_PASSWORD",
    "LOKI_HEADERS",
)


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
Origins = Annotated[list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(comma_separated)]


class Environment(BaseModel):
    """Every variable, its type and its default. docs/configuration.md explains each (a test compares them)."""

    # The web application
    DEBUG: bool = False
    SECRET_KEY: SecretStr | None = None
    SECRET_KEY_FALLBACKS: SecretStr | None = None
    ALLOWED_HOSTS: Annotated[list[Annotated[str, AfterValidator(_host_name)]], BeforeValidator(comma_separated)] = [
        "localhost",
        "127.0.0.1",
        "[::1]",
    ]
    CSRF_TRUSTED_ORIGINS: Annotated[
        list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(comma_separated)
    ] = []
    HTTPS_ONLY: bool = True
    DEFAULT_ROLE: Literal["none", "viewer", "operator"] = "none"
    PORT: int = Field(default=8000, ge=1, le=65535)
    LOG_LEVEL: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_log_level)] = "info"
    LOG_FORMAT: Literal["json", "console"] = "json"
    VAR_DIR: Path = PROJECT_DIR / "var"

    PUBLIC_URL: HttpUrl | None = None
    TRUSTED_PROXIES: int = Field(default=0, ge=0, le=10)
    SESSION_HOURS: int = Field(default=12, ge=1, le=720)

    # Single sign-on by OpenID Connect, beside local accounts
    OIDC_ISSUER: HttpUrl | None = None
    OIDC_CLIENT_ID: str | None = None
    OIDC_CLIENT_SECRET: SecretStr | None = None
    OIDC_NAME: str = Field(default="single sign-on", max_length=60)
    OIDC_GROUP_CLAIM: str = Field(default="groups", min_length=1, max_length=200)
    OIDC_ROLES: RolesOfGroups = []

    # Stores
    DATABASE_URL: Annotated[SecretStr, AfterValidator(_database_url)] | None = None
    REDIS_URL: Annotated[SecretStr, AfterValidator(_redis_url)] = SecretStr("redis://redis:6379")
    QDRANT_URL: HttpUrl = "http://qdrant:6334"
    QDRANT_API_KEY: SecretStr | None = None
    QDRANT_PATH: Path | None = None

    # The cluster that is healed, or the file that lists several (recist_web/clusters.py)
    CLUSTERS_FILE: Path | None = None
    CLUSTER_NAME: str = Field(default="default", pattern=CLUSTER_NAME_PATTERN)
    KUBECONFIG: Path | None = None
    KUBE_CONTEXT: str | None = None
    POD_NAMESPACE: str = Field(default="recist-system", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    POLICY_NAMESPACES: Annotated[list[Annotated[str, AfterValidator(namespace)]], BeforeValidator(comma_separated)] = []
    WATCH_NAMESPACES: Annotated[list[Annotated[str, AfterValidator(namespace)]], BeforeValidator(comma_separated)] = []
    PROMETHEUS_URL: HttpUrlOrOff = "http://prometheus:9090"
    PROMETHEUS_USERNAME: str | None = None
    PROMETHEUS_PASSWORD: SecretStr | None = None
    PROMETHEUS_TOKEN: SecretStr | None = None
    PROMETHEUS_TOKEN_FILE: Path | None = None  # read at every request: tokens of ServiceAccounts change by themselves
    PROMETHEUS_HEADERS: Headers | None = None
    PROMETHEUS_CA_FILE: Path | None = None
    PROMETHEUS_CLIENT_CERT_FILE: Path | None = None
    PROMETHEUS_CLIENT_KEY_FILE: Path | None = None
    PROMETHEUS_INSECURE_SKIP_VERIFY: bool = False
    LOKI_URL: HttpUrlOrOff = "http://loki:3100"
    LOKI_USERNAME: str | None = None
    LOKI_PASSWORD: SecretStr | None = None
    LOKI_TOKEN: SecretStr | None = None
    LOKI_TOKEN_FILE: Path | None = None  # read at every request: tokens of ServiceAccounts change by themselves
    LOKI_HEADERS: Headers | None = None
    LOKI_CA_FILE: Path | None = None
    LOKI_CLIENT_CERT_FILE: Path | None = None
    LOKI_CLIENT_KEY_FILE: Path | None = None
    LOKI_INSECURE_SKIP_VERIFY: bool = False
    # where people read on: links of evidence lead to Explore there
    GRAFANA_URL: HttpUrl | None = None
    GRAFANA_LOKI_DATASOURCE: str = "loki"
    GRAFANA_PROMETHEUS_DATASOURCE: str = "prometheus"

    AUTONOMY_FIRST_DAY: bool = True

    # The language model (none is needed)
    LLM_MODEL: str | None = None
    LLM_API_KEY: SecretStr | None = None
    LLM_BASE_URL: HttpUrl | None = None
    LLM_ALLOW_PRIVATE: PrivatePlaces = []
    LLM_DAILY_SPEND_LIMIT_USD: float | None = Field(default=10.0, ge=0)
    LLM_DAILY_TOKEN_LIMIT: int | None = Field(default=5_000_000, ge=0)

    # The memory: hybrid, wordllama, hashing, or a provider's model as litellm names it
    EMBEDDING_MODEL: str = Field(default="hybrid", min_length=1, max_length=80)
    EMBEDDING_DIMENSIONS: int = Field(default=1536, ge=8, le=8192)
    EMBEDDING_API_KEY: SecretStr | None = None
    EMBEDDING_BASE_URL: HttpUrl | None = None

    # Notifications of the whole installation, beside those of the policies
    NOTIFY_WHEN: Occasions = ["approvalNeeded", "approvalExpiring", "escalated", "storm", "halted"]
    NOTIFY_SLACK_URL: Annotated[SecretStr, AfterValidator(_secret_url)] | None = None
    NOTIFY_EMAIL_TO: MailAddresses = []
    NOTIFY_PAGERDUTY_KEY: SecretStr | None = None
    NOTIFY_WEBHOOK_URL: HttpUrl | None = None
    NOTIFY_WEBHOOK_KEY: SecretStr | None = None
    SMTP_URL: Annotated[SecretStr, AfterValidator(_smtp_url)] | None = None
    EMAIL_FROM: Annotated[str, AfterValidator(_mail_address)] = "ReCiSt <recist@localhost>"
    PAGERDUTY_URL: HttpUrl = "https://events.pagerduty.com/v2/enqueue"
    NOTIFICATION_ALLOW_PRIVATE: PrivatePlaces = []

    # How long what has ended is kept, in days; 0: for ever
    RETENTION_DAYS: int = Field(default=180, ge=0, le=3650)
    RETENTION_DETAIL_DAYS: int = Field(default=30, ge=0, le=3650)
    RETENTION_FIGURES_DAYS: int = Field(default=1095, ge=0, le=3650)
    # Traces by OTLP over HTTP; OpenTelemetry reads its other variables (OTEL_...) itself
    OTEL_EXPORTER_OTLP_ENDPOINT: HttpUrl | None = None

    # The demo
    DEMO_FAULTS: bool = True
    DEMO_CONTROL_URL: HttpUrl | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One variable that could not be used. `hint` says what to do; no secret's value appears in either."""

    variable: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class ParsedEnvironment:
    values: Environment
    problems: tuple[Problem, ...]
    suspicions: tuple[Problem, ...]


def variables() -> dict[str, str]:
    """The process's own variables, and below them those of the file `.env` (ENV_FILE names another one)."""
    path = os.environ.get("ENV_FILE") or PROJECT_DIR / ".env"
    kept = {name: value for name, value in dotenv_values(path).items() if value is not None}
    return {**kept, **os.environ}


def parse(environ: Mapping[str, str] | None = None) -> ParsedEnvironment:
    """Read `environ` (by default `variables()`). Never raises: what is wrong is in `problems`."""
    raw = dict(variables() if environ is None else environ)
    problems: list[Problem] = []
    given = {name: raw[name].strip() for name in Environment.model_fields if raw.get(name, "").strip()}
    _read_secret_files(raw, given, problems)
    if "RUST_LOG" in raw and raw["RUST_LOG"].strip() and "LOG_LEVEL" not in given:
        given["LOG_LEVEL"] = raw["RUST_LOG"]
    while True:
        try:
            values = Environment.model_validate(given)
            break
        except ValidationError as error:
            for name in _note(error, problems):
                del given[name]
    return ParsedEnvironment(values, tuple(problems), tuple(_misspelt(raw)))


def _note(error: ValidationError, problems: list[Problem]) -> set[str]:
    """Turn pydantic's errors into problems; returns the variables at fault."""
    at_fault: set[str] = set()
    for detail in error.errors(include_url=False, include_input=False):
        name = str(detail["loc"][0])
        if name in at_fault:
            continue
        at_fault.add(name)
        message = str(detail["msg"]).removeprefix("Value error, ")
        problems.append(
            Problem(name, f"{name} cannot be used: {message}", f"Correct or unset {name}; see docs/configuration.md.")
        )
    return at_fault


def _read_secret_files(raw: Mapping[str, str], given: dict[str, str], problems: list[Problem]) -> None:
    for name in SECRETS:
        variable = f"{name}_FILE"
        path = raw.get(variable, "").strip()
        if not path:
            continue
        if name in given:
            problems.append(Problem(variable, f"{name} and {variable} are both set", "Unset one of them."))
            continue
        try:
            content = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "not UTF-8 text"
            message = f"{variable} names {path}, which cannot be read: {reason}"
            problems.append(Problem(variable, message, "Check the path and its permissions."))
            continue
        if content:
            given[name] = content
        else:
            message = f"{variable} names {path}, which is empty"
            problems.append(Problem(variable, message, f"Write the value of {name} into it."))


def _misspelt(raw: Mapping[str, str]) -> list[Problem]:
    """Variables that look like a slip of the pen of one of ours that is not set."""
    known = [*Environment.model_fields, *(f"{name}_FILE" for name in SECRETS), "RUST_LOG"]
    found = []
    for name in raw:
        if name in known or len(name) < 6:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.88)
        if near and near[0] not in raw:
            found.append(Problem(name, f"{name} is not a variable of ReCiSt", f"Did you mean {near[0]}?"))
    return found
