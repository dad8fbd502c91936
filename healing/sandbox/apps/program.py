"""What a program is like: plain data, read from the catalogue or from a scenario file."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

Language = Literal["go", "java", "node", "python", "c"]
LogFormat = Literal["json", "plain", "logfmt"]


class DefinitionError(ValueError):
    """A definition nobody can use; the message says which field and why."""


@dataclass(frozen=True, slots=True)
class CallSpec:
    """A dependency: where its address comes from and how it is used."""

    #: name of the variable with the URL (``http://payments:8080``), ``host:port`` or a host beside ``port_env``
    env: str = ""
    #: instead of a variable: a mounted file, and the key in it
    file: str = ""
    key: str = ""
    #: protocol of an address that names none (``postgres``, ``mysql``, ``redis``, ``kafka``, ``amqp``, ``http`` ...)
    scheme: str = ""
    port_env: str = ""
    user_env: str = ""
    database_env: str = ""
    per_request: float = 1.0
    #: without it a request fails; an optional one only costs time
    required: bool = True
    timeout_seconds: float = 2.0
    #: variable with the password this caller sends, compared with the server's `Program.password_env`
    password_env: str = ""
    #: readiness paths answer 503 while this dependency does not answer at all
    readiness: bool = False
    #: share of its calls that change data (databases, queues)
    writes: float = 0.4
    #: connections each process keeps to a database at most
    pool_size: int = 10
    pool_env: str = ""
    #: how long a request waits for one of them
    pool_timeout_seconds: float = 3.0
    #: tries after the first one
    retries: int = 0
    #: stops calling for a while when most calls fail
    breaker: bool = False
    #: path added to the address
    path: str = ""

    @property
    def name(self) -> str:
        return self.env or self.key or self.file


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """Something the program refuses to start without."""

    #: a variable, or
    env: str = ""
    #: a mounted file and, optionally, a key in it (``key: value`` or ``key=value``, dots for nesting)
    file: str = ""
    key: str = ""
    #: what the value must look like (a regular expression, whole value)
    pattern: str = ""
    #: what it is parsed as: ``int``, ``number``, ``bool``, ``duration`` (5s, 1m30s), ``json``, ``yaml``, ``url``
    type: str = ""
    #: the values it may have, divided by commas
    choices: str = ""
    #: only looked at if it is there
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Crash:
    """A program that fails by itself, for instance a bad build."""

    after_seconds: float = 1.0
    exit_code: int = 1
    #: what it prints before it goes; empty means a stack trace of its language
    message: str = "unexpected error during startup"
    exception: str = ""


@dataclass(frozen=True, slots=True)
class AdmissionRule:
    """What an admission webhook asks of objects."""

    #: a CEL expression over ``object`` and ``request`` that holds for what is admitted; empty: nothing is
    expression: str = ""
    #: what it says when it denies
    message: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """One program's nature. Times in seconds, memory in bytes, CPU in cores."""

    name: str = "generic"
    #: ``proxy``: a sidecar all traffic of its pod goes through
    kind: Literal["server", "worker", "shell", "proxy"] = "server"
    #: what it speaks: ``http``, or a database's or queue's protocol
    protocol: str = "http"
    language: Language = "go"
    log_format: LogFormat = "plain"
    #: paths or names this image can start; ``*`` at the end matches the rest
    entrypoint: tuple[str, ...] = ("/app/server",)
    binaries: tuple[str, ...] = ()
    #: has a shell and the usual small commands
    shell: bool = True
    #: listens on these; empty means the pod's containerPorts
    ports: tuple[int, ...] = ()
    port_env: str = ""
    #: those of its ports on which it speaks TLS, beside the containerPorts whose names say so (``https``, ``tls``)
    tls_ports: tuple[int, ...] = ()
    startup_seconds: float = 1.0
    startup_cpu_cores: float = 0.2
    base_cpu_cores: float = 0.005
    cpu_seconds_per_request: float = 0.002
    base_memory_bytes: int = 48 << 20
    memory_bytes_per_request: int = 128 << 10
    leak_bytes_per_second: float = 0.0
    leak_bytes_per_request: float = 0.0
    latency_seconds: float = 0.005
    #: sigma of the logarithm of the latency
    latency_spread: float = 0.45
    error_rate: float = 0.0
    client_error_rate: float = 0.004
    max_concurrency: int = 200
    #: paths that answer 200 while the program runs
    health_paths: tuple[str, ...] = ("/healthz", "/livez", "/health", "/live")
    #: paths that answer 503 while a required dependency does not answer
    ready_paths: tuple[str, ...] = ("/readyz", "/ready")
    #: other paths that exist; ``*`` answers every path
    paths: tuple[str, ...] = ("/", "/metrics")
    required_config: tuple[ConfigKey, ...] = ()
    calls: tuple[CallSpec, ...] = ()
    #: treat every variable that looks like a URL as a call
    calls_from_env: bool = False
    #: clients must send this variable's value
    password_env: str = ""
    #: variables with the user and the database that exist; any will do where they are not set
    user_env: str = ""
    database_env: str = ""
    #: connections a database takes; 0: as many as come
    max_connections: int = 0
    #: calls by HTTP carry tokens, which are refused when the clocks of both ends differ by more; 0: no tokens
    token_leeway_seconds: float = 300.0
    #: answers 404 below other paths than its own
    strict_paths: bool = False
    #: mounted ``*.json``, ``*.yaml`` and ``*.yml`` files must be readable as such
    parses_files: bool = False
    #: what it writes to its disk
    disk_bytes_per_second: float = 0.0
    disk_bytes_per_request: float = 0.0
    operations: tuple[str, ...] = ("GET /",)
    #: writes a line for (a sample of) its requests
    access_log: bool = True
    chatter: tuple[str, ...] = ()
    #: warnings and errors it prints now and then while all is well
    grumbles: tuple[str, ...] = ()
    #: from SIGTERM to its exit; one that ignores it needs a SIGKILL
    grace_seconds: float = 0.4
    ignores_sigterm: bool = False
    exit_code_on_term: int = 0
    crash: Crash | None = None
    #: of a program behind an admission webhook
    admission: tuple[AdmissionRule, ...] = ()


_SIZE = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?")
_UNITS = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "k": 1000, "M": 10**6, "G": 10**9,
          "T": 10**12}  # fmt: skip


def parse_bytes(value: Any, where: str) -> int:
    """``128Mi`` or a number of bytes."""
    found = _SIZE.fullmatch(str(value).strip())
    if found is None:
        raise DefinitionError(f"{where}: {value!r} is not a size; write for instance 128Mi")
    return int(float(found.group(1)) * _UNITS[found.group(2)])


_NAMES = {f.name for f in fields(Program)}
_TUPLES = {
    "entrypoint", "binaries", "ports", "health_paths", "ready_paths", "paths", "operations", "chatter", "grumbles",
    "tls_ports",
}  # fmt: skip
_BYTES = {"base_memory", "memory_per_request", "leak_per_second", "leak_per_request"}
_CHOICES = {
    "kind": ("server", "worker", "shell", "proxy"),
    "language": ("go", "java", "node", "python", "c"),
    "log_format": ("json", "plain", "logfmt"),
}


def apply_changes(base: Program, changes: dict[str, Any], where: str) -> Program:
    """``base`` with the fields of ``changes``; unknown or ill-typed fields raise `DefinitionError`."""
    values: dict[str, Any] = {}
    for key, value in changes.items():
        at = f"{where}.{key}"
        if key in _BYTES:
            head, _, tail = key.partition("_")
            name = f"{head}_{'memory_bytes' if tail == 'memory' else f'bytes_{tail}'}"
            values["memory_bytes_per_request" if key == "memory_per_request" else name] = parse_bytes(value, at)
        elif key == "calls":
            values[key] = tuple(_record(CallSpec, item, f"{at}[{i}]") for i, item in enumerate(_list(value, at)))
        elif key == "required_config":
            values[key] = tuple(_record(ConfigKey, item, f"{at}[{i}]") for i, item in enumerate(_list(value, at)))
        elif key == "admission":
            values[key] = tuple(_record(AdmissionRule, item, f"{at}[{i}]") for i, item in enumerate(_list(value, at)))
        elif key == "crash":
            values[key] = None if value is None else _record(Crash, value, at)
        elif key in _TUPLES:
            values[key] = tuple(_list(value, at))
        elif key in _CHOICES:
            if value not in _CHOICES[key]:
                raise DefinitionError(f"{at}: {value!r} is none of {', '.join(_CHOICES[key])}")
            values[key] = value
        elif key in _NAMES:
            values[key] = _scalar(value, getattr(base, key), at)
        else:
            raise DefinitionError(f"{at}: unknown field; known are {', '.join(sorted(_NAMES | _BYTES))}")
    return replace(base, **values)


def _scalar(value: Any, like: Any, where: str) -> Any:
    if isinstance(like, bool) and isinstance(value, bool):
        return value
    if isinstance(like, bool) or isinstance(value, bool):
        raise DefinitionError(f"{where}: expected {type(like).__name__}, got {value!r}")
    if isinstance(like, int) and isinstance(value, int | float):
        return int(value)
    if isinstance(like, float) and isinstance(value, int | float):
        return float(value)
    if isinstance(like, str) and isinstance(value, str):
        return value
    raise DefinitionError(f"{where}: expected {type(like).__name__}, got {value!r}")


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DefinitionError(f"{where}: expected a list, got {value!r}")
    return value


def _record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise DefinitionError(f"{where}: expected a mapping, got {value!r}")
    defaults = kind()
    known = {f.name for f in fields(kind)}
    for name in value:
        if name not in known:
            raise DefinitionError(f"{where}.{name}: unknown field; known are {', '.join(sorted(known))}")
    return kind(**{n: _scalar(v, getattr(defaults, n), f"{where}.{n}") for n, v in value.items()})
