"""What a program is like: plain data, read from the catalogue or from a scenario file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

Language = Literal["go", "java", "node", "python", "c"]
LogFormat = Literal["json", "plain", "logfmt"]


class DefinitionError(ValueError):
    """A definition nobody can use; the message says which field and why."""


@dataclass(frozen=True, slots=True)
class CallSpec:
    """A dependency: the environment variable that names it and how it is used."""

    #: name of the variable with the URL (``http://payments:8080``) or ``host:port``
    env: str
    per_request: float = 1.0
    #: without it a request fails; an optional one only costs time
    required: bool = True
    timeout_seconds: float = 2.0
    #: variable with the password this caller sends, compared with the server's `Program.password_env`
    password_env: str = ""
    #: readiness paths answer 503 while this dependency does not answer at all
    readiness: bool = False


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


@dataclass(frozen=True, slots=True)
class Crash:
    """A program that fails by itself, for instance a bad build."""

    after_seconds: float = 1.0
    exit_code: int = 1
    #: what it prints before it goes; empty means a stack trace of its language
    message: str = "unexpected error during startup"
    exception: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """One program's nature. Times in seconds, memory in bytes, CPU in cores."""

    name: str = "generic"
    kind: Literal["server", "worker", "shell"] = "server"
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
    operations: tuple[str, ...] = ("GET /",)
    #: writes a line for (a sample of) its requests
    access_log: bool = True
    chatter: tuple[str, ...] = ()
    #: from SIGTERM to its exit; one that ignores it needs a SIGKILL
    grace_seconds: float = 0.4
    ignores_sigterm: bool = False
    exit_code_on_term: int = 0
    crash: Crash | None = None


_SIZE = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|k|M|G)?")
_UNITS = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 1000, "M": 10**6, "G": 10**9}


def parse_bytes(value: Any, where: str) -> int:
    """``128Mi`` or a number of bytes."""
    found = _SIZE.fullmatch(str(value).strip())
    if found is None:
        raise DefinitionError(f"{where}: {value!r} is not a size; write for instance 128Mi")
    return int(float(found.group(1)) * _UNITS[found.group(2)])


_NAMES = {f.name for f in fields(Program)}
_TUPLES = {
    "entrypoint", "binaries", "ports", "health_paths", "ready_paths", "paths", "operations", "chatter",
}  # fmt: skip
_BYTES = {"base_memory", "memory_per_request", "leak_per_second", "leak_per_request"}
_CHOICES = {
    "kind": ("server", "worker", "shell"),
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
    defaults = kind(env="") if kind is CallSpec else kind()
    known = {f.name for f in fields(kind)}
    for name in value:
        if name not in known:
            raise DefinitionError(f"{where}.{name}: unknown field; known are {', '.join(sorted(known))}")
    return kind(**{n: _scalar(v, getattr(defaults, n), f"{where}.{n}") for n, v in value.items()})


@dataclass(slots=True)
class Effects:
    """What is being done to a running process from outside, summed over the active behaviours."""

    leak_bytes_per_second: float = 0.0
    leak_bytes_per_request: float = 0.0
    cpu_cores: float = 0.0
    latency_seconds: float = 0.0
    error_rate: float = 0.0
    crash: Crash | None = None
    #: names of the dependencies (variables) that do not answer
    lost: frozenset[str] = field(default_factory=frozenset)
