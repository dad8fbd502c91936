"""How a database lets its clients in: user, password, databases, limits - from its environment, arguments and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from healing.sandbox.apps.address import Address
from healing.sandbox.apps.program import Program
from healing.sandbox.ports import ContainerStart

#: connections a database keeps for its administrators
RESERVED_CONNECTIONS = 3
_TRUE = ("on", "yes", "true", "1")


@dataclass(slots=True)
class Account:
    """``None`` and empty sets mean: not checked."""

    users: frozenset[str] = frozenset()
    password: str | None = None
    databases: frozenset[str] = frozenset()
    #: a client that sends no password is refused
    strict: bool = False
    #: when the password last changed while the program ran (seconds since the epoch)
    password_changed_at: float = 0.0
    read_only: bool = False
    tls: bool = False
    #: 0: no limit
    max_connections: int = 0
    settings: dict[str, str] = field(default_factory=dict)

    def refuses(self, address: Address) -> str:
        """Why it does not let this client in (a cause of `clients.py`), or empty."""
        if address.tls and not self.tls and address.protocol != "http":
            return "no tls"
        if self.password is not None:
            if address.password is None and self.strict:
                return "no password"
            if address.password is not None and address.password != self.password:
                return "auth"
            if self.users and address.user and address.user not in self.users:
                return "auth"
        elif address.password is not None and address.protocol == "redis" and self.strict:
            return "auth"
        if self.databases and address.database and address.database not in self.databases:
            return "no database"
        return ""


def of(program: Program, start: ContainerStart) -> Account:
    if program.protocol in ("http", "any"):
        return Account()
    env, settings = start.env, settings_of(start)
    account = Account(settings=settings, max_connections=program.max_connections)
    if program.password_env and program.password_env in env:
        account.password = env[program.password_env]
    if program.user_env and env.get(program.user_env):
        account.users = frozenset((env[program.user_env], "postgres" if program.protocol == "postgres" else "root"))
    if program.database_env and env.get(program.database_env):
        account.databases = frozenset((env[program.database_env], "postgres", "mysql"))
    if "requirepass" in settings:
        account.password, account.strict = settings["requirepass"], True
    for name in ("max_connections", "maxclients"):
        if settings.get(name, "").isdigit():
            account.max_connections = int(settings[name])
    account.read_only = (
        any(settings.get(name, "").lower() in _TRUE for name in ("default_transaction_read_only", "read_only"))
        or "replicaof" in settings
        or "slaveof" in settings
    )
    account.tls = settings.get("ssl", settings.get("require_secure_transport", "")).lower() in _TRUE
    return account


def settings_of(start: ContainerStart) -> dict[str, str]:
    """From mounted ``*.conf`` and ``*.cnf`` files, then ``-c name=value``, ``--name=value`` and ``--name value``."""
    settings: dict[str, str] = {}
    for path, text in start.files.items():
        if path.endswith((".conf", ".cnf")):
            settings.update(_lines(text))
    words = iter([*start.command, *start.args])
    pending = ""
    for word in words:
        if pending and not word.startswith("--"):
            settings[pending] = word.strip("\"'")
            pending = ""
        elif word == "-c":
            pending = ""
            name, _, value = next(words, "").partition("=")
            settings[_name(name)] = value.strip("\"'")
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            settings[_name(name)] = value.strip("\"'") if equals else "on"
            pending = "" if equals else _name(name)
    return settings


def _name(text: str) -> str:
    return text.strip().replace("-", "_").lower()


def _lines(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([A-Za-z][\w.-]*)\s*(?:=|\s)\s*(.*?)\s*(?:#.*)?", line)
        if match:
            found[_name(match.group(1))] = match.group(2).strip("\"'")
    return found
