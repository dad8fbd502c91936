"""Where a program's dependencies are and how it introduces itself, from its environment and its files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, unquote, urlsplit

from healing.sandbox.apps.config import read_key
from healing.sandbox.apps.program import CallSpec, Program
from healing.sandbox.ports import ContainerStart

_DEFAULT_PORTS = {
    "http": 80, "https": 443, "grpc": 80, "postgres": 5432, "postgresql": 5432, "redis": 6379, "rediss": 6379,
    "valkey": 6379, "amqp": 5672, "amqps": 5671, "mysql": 3306, "mariadb": 3306, "mongodb": 27017, "nats": 4222,
    "kafka": 9092,
}  # fmt: skip
#: protocol by the scheme of an address; a scheme that is not here says nothing about it
PROTOCOLS = {
    "http": "http", "https": "http", "postgres": "postgres", "postgresql": "postgres", "mysql": "mysql",
    "mariadb": "mysql", "redis": "redis", "rediss": "redis", "valkey": "redis", "amqp": "amqp", "amqps": "amqp",
    "kafka": "kafka", "mongodb": "mongodb", "nats": "nats",
}  # fmt: skip
_BY_PORT = {5432: "postgres", 3306: "mysql", 6379: "redis", 5672: "amqp", 9092: "kafka", 27017: "mongodb"}
#: protocols whose clients keep a pool of connections, each of which the server counts
POOLED = frozenset(("postgres", "mysql", "mongodb"))
_SECURE = ("https", "rediss", "amqps", "wss")
_MODES_WITH_TLS = ("require", "verify-ca", "verify-full")
#: variables that kubelets add for every Service: nobody calls those
_OF_KUBELET = re.compile(r".*_SERVICE_(HOST|PORT.*)|.*_PORT_\d+_(TCP|UDP)(_.*)?")
_HOST_NAMES = re.compile(r"(.+)_HOST(?:NAME)?")
_ADDRESS_NAMES = re.compile(r".+_(ADDR|ADDRESS|BROKERS?|ENDPOINT|SERVERS?|HOSTS?)")
_HERE = ("localhost", "0.0.0.0", "127.0.0.1", "::")  # noqa: S104 -- names, nothing listens


@dataclass(frozen=True, slots=True)
class Address:
    """``path`` of a database's address is the database. ``password``: None where the client sends none."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str | None = None
    path: str = ""
    tls: bool = False

    @property
    def protocol(self) -> str:
        """Empty when the address does not tell."""
        return PROTOCOLS.get(self.scheme, "")

    @property
    def database(self) -> str:
        return self.path.strip("/").partition("/")[0] if self.protocol not in ("", "http") else ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(value: str) -> Address | None:
    """``http://cart:8080/x``, ``jdbc:postgresql://user:pw@db/shop?sslmode=require`` or ``cache:6379``."""
    text = value.strip().split(",")[0].removeprefix("jdbc:")
    if "://" not in text:
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit() or not host or "/" in host or " " in host:
            return None
        return Address("tcp", host, int(port))
    try:
        parts = urlsplit(text)
        port_number = parts.port
        host_name, user, password = parts.hostname, parts.username, parts.password
    except ValueError:
        return None
    if not host_name:
        return None
    query = parse_qs(parts.query)
    user = user or next(iter(query.get("user", [])), "")
    password = password if password is not None else next(iter(query.get("password", [])), None)
    mode = next(iter(query.get("sslmode", query.get("ssl-mode", []))), "").lower()
    return Address(
        scheme=parts.scheme,
        host=host_name,
        port=port_number or _DEFAULT_PORTS.get(parts.scheme, 80),
        user=unquote(user),
        password=unquote(password) if password is not None else None,
        path="" if parts.path == "/" else parts.path,
        tls=parts.scheme in _SECURE or mode in _MODES_WITH_TLS or query.get("tls") == ["true"],
    )


def calls_of(program: Program, start: ContainerStart, files: Mapping[str, str]) -> list[tuple[CallSpec, Address]]:
    """The dependencies a program has an address for."""
    env = start.env
    found = [(spec, address) for spec in program.calls if (address := _declared(spec, env, files))]
    if program.calls_from_env:
        found.extend(_guessed(env))
    return found


def _declared(spec: CallSpec, env: Mapping[str, str], files: Mapping[str, str]) -> Address | None:
    value = env.get(spec.env, "") if spec.env else (read_key(files.get(spec.file, ""), spec.key) or "")
    address = parse_address(value)
    if address is None and value and "://" not in value and " " not in value:
        port = env.get(spec.port_env, "") if spec.port_env else str(_DEFAULT_PORTS.get(spec.scheme, ""))
        address = parse_address(f"{value.rpartition(':')[0] or value}:{port}")
    if address is None:
        return None
    if address.scheme == "tcp":
        address = replace(address, scheme=spec.scheme or _BY_PORT.get(address.port, "tcp"))
    return _introduce(address, env, spec.user_env, spec.password_env, spec.database_env, spec.path)


def _introduce(address: Address, env: Mapping[str, str], user: str, password: str, database: str, path: str) -> Address:
    changes: dict[str, str] = {}
    if user and user in env and not address.user:
        changes["user"] = env[user]
    if password and password in env and address.password is None:
        changes["password"] = env[password]
    if database and database in env and not address.path:
        changes["path"] = f"/{env[database]}"
    if path and not address.path:
        changes["path"] = path
    return replace(address, **changes) if changes else address  # type: ignore[arg-type]


def _guessed(env: Mapping[str, str]) -> Iterator[tuple[CallSpec, Address]]:
    """A program nobody describes calls what its variables name: URLs, ``X_HOST`` with ``X_PORT``, ``X_ADDR``."""
    for name, value in env.items():
        if _OF_KUBELET.fullmatch(name) or value.startswith("tcp://"):
            continue
        address: Address | None = None
        if "://" in value:
            address = parse_address(value)
        elif (found := _HOST_NAMES.fullmatch(name)) and value and " " not in value and ":" not in value:
            address = parse_address(f"{value}:{env.get(found.group(1) + '_PORT', '')}")
        elif _ADDRESS_NAMES.fullmatch(name):
            address = parse_address(value)
        if address is None or address.host in _HERE:
            continue
        if address.scheme == "tcp":
            address = replace(address, scheme=_BY_PORT.get(address.port, "tcp"))
        stem = re.sub(r"_(URL|URI|DSN|HOST|HOSTNAME|ADDR|ADDRESS|ENDPOINT)$", "", name)
        address = _introduce(
            address,
            env,
            _first(env, f"{stem}_USER", f"{stem}_USERNAME"),
            _first(env, f"{stem}_PASSWORD", f"{stem}_PASS", *_USUAL_PASSWORDS.get(address.protocol, ())),
            _first(env, f"{stem}_NAME", f"{stem}_DATABASE", f"{stem}_DB") if address.protocol in POOLED else "",
            "",
        )
        yield CallSpec(env=name, pool_env=_first(env, f"{stem}_POOL_SIZE", "DB_POOL_SIZE")), address


_USUAL_PASSWORDS = {
    "postgres": ("PGPASSWORD", "DATABASE_PASSWORD", "DB_PASSWORD"),
    "mysql": ("DATABASE_PASSWORD", "DB_PASSWORD", "MYSQL_PASSWORD"),
}


def _first(env: Mapping[str, str], *names: str) -> str:
    return next((name for name in names if name in env), "")
