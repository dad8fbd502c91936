"""How Prometheus and Loki let us in: from the variables of the single cluster, or from an entry of CLUSTERS_FILE.

The file holds no secrets: it names files, or variables, that hold them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from healing.cluster.source_access import SourceAccess
from recist_web.environment import Environment, Problem
from recist_web.variable_types import headers_of

#: What may be said of each of them, by variables: PROMETHEUS_TOKEN_FILE and so on.
SOURCES = ("PROMETHEUS", "LOKI")
PARTS = (
    "USERNAME",
    "PASSWORD",
    "TOKEN",
    "TOKEN_FILE",
    "HEADERS",
    "CA_FILE",
    "CLIENT_CERT_FILE",
    "CLIENT_KEY_FILE",
    "INSECURE_SKIP_VERIFY",
)
VARIABLES = tuple(f"{source}_{part}" for source in SOURCES for part in PARTS)

_Text = Annotated[str, Field(min_length=1)]


class AccessEntry(BaseModel):
    """`prometheusAccess` and `lokiAccess` of an entry. Paths are relative to the file; `...Env` names a variable."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    username: _Text | None = None
    password_file: _Text | None = None
    password_env: _Text | None = None
    token_file: _Text | None = None
    token_env: _Text | None = None
    headers: dict[str, str] = {}
    header_files: dict[str, _Text] = {}
    ca_file: _Text | None = None
    client_certificate_file: _Text | None = None
    client_key_file: _Text | None = None
    insecure_skip_verify: bool = False

    def access(self, directory: Path) -> SourceAccess:
        """Raises `ValueError` that says which file or variable cannot be read. The token's file need not be there yet:
        it is read at every request."""
        if self.token_file and self.token_env:
            raise ValueError("tokenFile and tokenEnv are both set: keep one")
        if self.password_file and self.password_env:
            raise ValueError("passwordFile and passwordEnv are both set: keep one")
        from_files = {name: _content(_path(directory, path)) for name, path in self.header_files.items()}
        return SourceAccess(
            username=self.username or "",
            password=_secret(directory, self.password_file, self.password_env),
            bearer_token=_secret(directory, None, self.token_env),
            bearer_token_file=_path(directory, self.token_file) if self.token_file else None,
            headers=MappingProxyType({**self.headers, **from_files}),
            ca_file=_path(directory, self.ca_file) if self.ca_file else None,
            client_certificate_file=(
                _path(directory, self.client_certificate_file) if self.client_certificate_file else None
            ),
            client_key_file=_path(directory, self.client_key_file) if self.client_key_file else None,
            insecure_skip_verify=self.insecure_skip_verify,
        )


def of_environment(environment: Environment, source: str) -> SourceAccess:
    """`source`: PROMETHEUS or LOKI."""
    values: Mapping[str, object] = {part: getattr(environment, f"{source}_{part}") for part in PARTS}
    secrets = {
        part: value.get_secret_value() if (value := getattr(environment, f"{source}_{part}")) is not None else ""
        for part in ("PASSWORD", "TOKEN", "HEADERS")
    }
    return SourceAccess(
        username=str(values["USERNAME"] or ""),
        password=secrets["PASSWORD"],
        bearer_token=secrets["TOKEN"],
        bearer_token_file=getattr(environment, f"{source}_TOKEN_FILE"),
        headers=MappingProxyType(headers_of(secrets["HEADERS"])),
        ca_file=getattr(environment, f"{source}_CA_FILE"),
        client_certificate_file=getattr(environment, f"{source}_CLIENT_CERT_FILE"),
        client_key_file=getattr(environment, f"{source}_CLIENT_KEY_FILE"),
        insecure_skip_verify=bool(values["INSECURE_SKIP_VERIFY"]),
    )


def problems_of(environment: Environment) -> tuple[Problem, ...]:
    """What is set twice."""
    return tuple(
        Problem(
            f"{source}_TOKEN_FILE",
            f"{source}_TOKEN and {source}_TOKEN_FILE are both set",
            "Unset one of them; the file is read at every request, so a token in it may be renewed.",
        )
        for source in SOURCES
        if getattr(environment, f"{source}_TOKEN") is not None
        and getattr(environment, f"{source}_TOKEN_FILE") is not None
    )


def _path(directory: Path, text: str) -> Path:
    return directory / Path(text).expanduser()


def _secret(directory: Path, path: str | None, variable: str | None) -> str:
    if path:
        return _content(_path(directory, path))
    if not variable:
        return ""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ValueError(f"the variable {variable} is not set")
    return value


def _content(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not UTF-8 text"
        raise ValueError(f"{path} cannot be read: {reason}") from error
    if not content:
        raise ValueError(f"{path} is empty")
    return content
