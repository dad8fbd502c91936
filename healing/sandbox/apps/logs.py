"""What programs print: one style a language and format, so that log analysis meets what it meets outside."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Literal

from healing.sandbox.apps.program import Language, LogFormat, Program

Level = Literal["debug", "info", "warn", "error", "fatal"]
#: (stream, text); a stack trace is several lines
Lines = list[tuple[Literal["stdout", "stderr"], str]]


def _clock(now: float) -> str:
    return datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def line(
    program: Program, now: float, level: Level, message: str, fields: dict[str, object] | None = None
) -> tuple[Literal["stdout", "stderr"], str]:
    """One message in the program's own format."""
    stream: Literal["stdout", "stderr"] = "stderr" if level in ("error", "fatal") else "stdout"
    extra = fields or {}
    if program.log_format == "json":
        record: dict[str, object] = {"time": _clock(now), "level": level, "logger": program.name, "msg": message}
        return stream, json.dumps(record | extra, separators=(",", ":"))
    if program.log_format == "logfmt":
        pairs = "".join(f" {key}={_logfmt(value)}" for key, value in extra.items())
        return stream, f"ts={_clock(now)} level={level} msg={_logfmt(message, always=True)}{pairs}"
    tail = "".join(f" {key}={value}" for key, value in extra.items())
    return stream, _plain(program, now, level, message + tail)


def _plain(program: Program, now: float, level: Level, message: str) -> str:
    shown = {"warn": "WARN", "fatal": "FATAL"}.get(level, level.upper())
    if program.language == "java":
        stamp = datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
        return f"{stamp} {shown:<5} [http-nio-8080-exec-{int(now) % 10 + 1}] c.e.{program.name} - {message}"
    if program.language == "python":
        stamp = datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
        shown = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(shown, shown)
        return f"{stamp} {shown} {program.name}: {message}"
    if program.language == "c":
        stamp = datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        return f"{stamp} UTC [1] {'LOG' if level == 'info' else shown}:  {message}"
    return f"{datetime.fromtimestamp(now, tz=UTC).strftime('%Y/%m/%d %H:%M:%S')} {shown} {message}"


def _logfmt(value: object, *, always: bool = False) -> str:
    text = str(value)
    return '"' + text.replace('"', '\\"') + '"' if always or " " in text or '"' in text or not text else text


_EXCEPTIONS: dict[Language, dict[str, str]] = {
    "java": {
        "config": "java.lang.IllegalStateException",
        "refused": "java.net.ConnectException",
        "timeout": "java.net.SocketTimeoutException",
        "dns": "java.net.UnknownHostException",
        "upstream": "org.springframework.web.client.HttpServerErrorException",
        "crash": "java.lang.NullPointerException",
        "auth": "org.postgresql.util.PSQLException",
    },
    "python": {
        "config": "KeyError",
        "refused": "ConnectionRefusedError",
        "timeout": "TimeoutError",
        "dns": "socket.gaierror",
        "upstream": "httpx.HTTPStatusError",
        "crash": "AttributeError",
        "auth": "psycopg.OperationalError",
    },
    "node": {
        "config": "Error",
        "refused": "Error: ECONNREFUSED",
        "timeout": "Error: ETIMEDOUT",
        "dns": "Error: ENOTFOUND",
        "upstream": "FetchError",
        "crash": "TypeError",
        "auth": "error",
    },
    "go": {},
    "c": {},
}


def exception_name(program: Program, cause: str) -> str:
    return _EXCEPTIONS[program.language].get(cause, "")


def stack(program: Program, cause: str, message: str, exception: str = "") -> list[str]:
    """The lines a runtime prints for an unhandled error."""
    name, module = exception or exception_name(program, cause), program.name
    if exception == "none" or program.language == "c":
        return []
    if program.language == "java":
        pkg = f"com.example.{module}"
        return [
            f"{name}: {message}",
            f"\tat {pkg}.{module.capitalize()}Service.handle({module.capitalize()}Service.java:87)",
            f"\tat {pkg}.Application.start(Application.java:41)",
            "\tat java.base/java.lang.Thread.run(Thread.java:1583)",
        ]
    if program.language == "python":
        return [
            "Traceback (most recent call last):",
            f'  File "/app/main.py", line 52, in <module>\n    {module}.run()',
            f'  File "/app/{module}/service.py", line 118, in run\n    self._handle(request)',
            f"{name}: {message}",
        ]
    if program.language == "node":
        return [
            f"{name}: {message}",
            f"    at {module.capitalize()}.handle (/app/{module}.js:64:13)",
            "    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
        ]
    return [
        "goroutine 1 [running]:",
        f"main.(*{module.capitalize()}).handle(0xc000112000)\n\t/app/{module}.go:93 +0x1f4",
        "main.main()\n\t/app/main.go:38 +0x9c",
    ]


def failure(program: Program, now: float, cause: str, message: str, exception: str = "") -> Lines:
    """A fatal error and its stack trace."""
    trace = stack(program, cause, message, exception)
    if exception == "none":
        return [("stderr", message)]
    if program.log_format == "json":
        fields: dict[str, object] = {"stack_trace": "\n".join(trace)} if trace else {}
        return [line(program, now, "fatal", message, fields)]
    if program.language == "go" and trace:
        return [("stderr", text) for block in [f"panic: {message}", "", *trace] for text in block.split("\n")]
    lines: Lines = [line(program, now, "fatal", message)]
    lines.extend(("stderr", text) for block in trace for text in block.split("\n"))
    return lines


def access(program: Program, now: float, rng: random.Random, status: int, seconds: float) -> Lines:
    """One line of request log."""
    operation = rng.choice(program.operations) if program.operations else "GET /"
    method, _, path = operation.partition(" ")
    path = path.replace("{id}", str(rng.randrange(1000, 9999))).replace("{sku}", f"SKU-{rng.randrange(100, 999)}")
    millis = round(seconds * 1000, 1)
    if program.language == "c" and program.operations == ("GET /",):
        stamp = datetime.fromtimestamp(now, tz=UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        return [("stdout", f'10.42.0.1 - - [{stamp}] "{method} {path} HTTP/1.1" {status} 612 "-" "curl/8.5.0"')]
    level: Level = "error" if status >= 500 else "info"
    fields: dict[str, object] = {"status": status, "duration_ms": millis, "trace_id": f"{rng.getrandbits(64):016x}"}
    return [line(program, now, level, f"{method} {path}".strip(), fields)]


FORMATS: tuple[LogFormat, ...] = ("json", "plain", "logfmt")
