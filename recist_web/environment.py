"""The environment variables ReCiSt reads: one class, parsed strictly.

A value that cannot be used never ends in a traceback: it is left out (its default holds), noted in
`ParsedEnvironment.problems`, and reported by the system checks as `recist.E001` with a hint. The server processes
refuse to start while there are problems; `manage.py check` prints them.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import BaseModel, Field, SecretStr, ValidationError

from recist_web.variable_types import (
    DatabaseUrl,
    Headers,
    HostNames,
    HttpUrl,
    HttpUrlOrOff,
    LogLevel,
    MailAddress,
    MailAddresses,
    Namespaces,
    Occasions,
    Origins,
    PrivatePlaces,
    RedisUrl,
    RolesOfGroups,
    SecretUrl,
    SmtpUrl,
)

PROJECT_DIR = Path(__file__).resolve().parent.parent
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
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


class Environment(BaseModel):
    """Every variable, its type and its default. docs/configuration.md explains each (a test compares them)."""

    # The web application
    DEBUG: bool = False
    SECRET_KEY: SecretStr | None = None
    SECRET_KEY_FALLBACKS: SecretStr | None = None
    ALLOWED_HOSTS: HostNames = [
        "localhost",
        "127.0.0.1",
        "[::1]",
    ]
    CSRF_TRUSTED_ORIGINS: Origins = []
    HTTPS_ONLY: bool = True
    DEFAULT_ROLE: Literal["none", "viewer", "operator"] = "none"
    PORT: int = Field(default=8000, ge=1, le=65535)
    LOG_LEVEL: LogLevel = "info"
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
    DATABASE_URL: DatabaseUrl | None = None
    REDIS_URL: RedisUrl = SecretStr("redis://redis:6379")
    QDRANT_URL: HttpUrl = "http://qdrant:6334"
    QDRANT_API_KEY: SecretStr | None = None
    QDRANT_PATH: Path | None = None

    # The cluster that is healed, or the file that lists several (recist_web/clusters.py)
    CLUSTERS_FILE: Path | None = None
    CLUSTER_NAME: str = Field(default="default", pattern=CLUSTER_NAME_PATTERN)
    KUBECONFIG: Path | None = None
    KUBE_CONTEXT: str | None = None
    POD_NAMESPACE: str = Field(default="recist-system", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    POLICY_NAMESPACES: Namespaces = []
    WATCH_NAMESPACES: Namespaces = []
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
    NOTIFY_SLACK_URL: SecretUrl | None = None
    NOTIFY_EMAIL_TO: MailAddresses = []
    NOTIFY_PAGERDUTY_KEY: SecretStr | None = None
    NOTIFY_WEBHOOK_URL: HttpUrl | None = None
    NOTIFY_WEBHOOK_KEY: SecretStr | None = None
    SMTP_URL: SmtpUrl | None = None
    EMAIL_FROM: MailAddress = "ReCiSt <recist@localhost>"
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
