"""How to be let in by a Prometheus or Loki that is not open to everybody."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from healing.ports.errors import Unauthorized, Unavailable


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """Credentials and TLS of one server; without any of it, it is asked openly.

    ``bearer_token_file`` is read at every request: tokens of ServiceAccounts change by themselves. It goes before
    ``bearer_token``, and both before user and password. ``headers``: what a proxy or a tenant needs (`X-Scope-OrgID`).
    ``ca_file``: PEM certificates to trust beside the system's. ``insecure_skip_verify``: any certificate will do.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)
    bearer_token_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False, hash=False)
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    insecure_skip_verify: bool = False

    def token(self, name: str) -> str:
        """The bearer token of now; empty: there is none. Raises `Unauthorized` where its file cannot be read."""
        path = self.bearer_token_file
        if path is None:
            return self.bearer_token
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise Unauthorized(f"{name}: the token file {path} cannot be read: {error}") from error

    def verify(self, name: str) -> ssl.SSLContext | bool:
        """Raises `Unavailable` where a file cannot be used, and says which."""
        if not (self.ca_file or self.client_certificate_file or self.insecure_skip_verify):
            return True
        context = ssl.create_default_context()
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            if self.ca_file is not None:
                context.load_verify_locations(self.ca_file)
            if self.client_certificate_file is not None:
                context.load_cert_chain(self.client_certificate_file, self.client_key_file)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(f) for f in (self.ca_file, self.client_certificate_file, self.client_key_file) if f)
            raise Unavailable(f"{name}: a certificate file cannot be used ({files}): {error}") from error
        return context
