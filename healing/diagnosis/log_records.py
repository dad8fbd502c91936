"""Records of a log: levels and times of common formats, and the lines that belong together. Text in, data out.

Known: JSON (also with the program's own line inside, as Docker writes it), logfmt, klog, log4j and its like, syslog,
nginx and other access logs, CRI and ``kubectl logs --timestamps`` prefixes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Level = Literal["debug", "info", "warning", "error", "fatal", ""]

_MAX_RECORD_LINES = 80

_LEVELS: dict[str, Level] = {
    "trace": "debug",
    "debug": "debug",
    "dbg": "debug",
    "info": "info",
    "inf": "info",
    "information": "info",
    "notice": "info",
    "note": "info",
    "log": "info",
    "warn": "warning",
    "wrn": "warning",
    "warning": "warning",
    "error": "error",
    "err": "error",
    "eror": "error",
    "severe": "error",
    "emerg": "fatal",
    "emergency": "fatal",
    "alert": "fatal",
    "crit": "fatal",
    "critical": "fatal",
    "fatal": "fatal",
    "panic": "fatal",
    "dpanic": "fatal",
}
_LEVEL_NAMES = "|".join(sorted(_LEVELS, key=len, reverse=True))
_LOGFMT_LEVEL = re.compile(rf"\b(?:level|lvl|severity|loglevel)[=:]\s*\"?({_LEVEL_NAMES})\b", re.IGNORECASE)
# [ERROR], ERROR:, " ERROR ", <error>; a lowercase word in the middle of prose is not a level
_MARKED_LEVEL = re.compile(rf"(?:^|\s)[\[<(]({_LEVEL_NAMES})[\]>)]|^({_LEVEL_NAMES})[:\s]", re.IGNORECASE)
_UPPER_LEVEL = re.compile(rf"(?:^|[\s|\-])({'|'.join(n.upper() for n in _LEVELS)})(?:$|[\s:|\-\]])")
_KLOG = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ \S+\] ")
_KLOG_LEVELS: dict[str, Level] = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}
_SYSLOG = re.compile(r"^<(?P<priority>\d{1,3})>(?:1 )?")
_ACCESS = re.compile(r"\" (?P<status>[1-5]\d\d) (?:\d+|-)(?: |$)")
_CRI = re.compile(r"^(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:Z|[+-]\d\d:\d\d)) (?:stdout|stderr) [FP] ")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_WORDS_OF_FAILURE = re.compile(
    r"\b(?:panic:|fatal error|fatal:|traceback \(most recent call last\)|uncaught|unhandled (?:exception|rejection"
    r"|promise)"
    r"|exception in thread|segmentation fault|core dumped|assertion failed|[A-Za-z.]*(?:Error|Exception)(?::| \[)"
    r"|error:"
    r"|failed to|cannot|can't|could not|unable to|refused|denied|no such|in use|missing"
    r"|invalid|not set|required|fail(?:ed|ure)|expired|x509|exhausted|too many|read-?only|illegal|malformed|unknown"
    r"|abort|format error"
    r"|not found|timed out|timeout|unavailable|unauthorized|forbidden|out of memory|no space|waiting for)",
    re.IGNORECASE,
)
_CONTINUATION = re.compile(
    r"^(?:\s+\S|\tat |Caused by:|Suppressed:|\.\.\. \d+ more|goroutine \d+ \[|created by |main\.|runtime\."
    r"|[\w./*()]+\(0x"
    r"|[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Warning|Exit)(?::|$)|\[signal |exit status \d|During handling of"
    r" the above"
    r"|The above exception was|Traceback \(most recent call last\)|stack backtrace:|$)"
)
_STARTS_TRACE = re.compile(
    r"Traceback \(most recent call last\)|^panic:|^fatal error:|Exception in thread|^thread '.*' panicked"
)
#: The line of a trace that names the exception: the last one of Python, the first one of Java.
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)(?::|$)")
_MORE_TRACE = re.compile(r"^(?:\s+\S|Caused by:|During handling|The above exception|$)")
_TIMESTAMP = re.compile(
    r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s*|^[A-Z][a-z]{2} +\d+"
    r" \d\d:\d\d:\d\d\s+"
)
_TIME = re.compile(
    r"(?P<date>\d{4}[-/]\d\d[-/]\d\d)[T ](?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,9}))?(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
#: Pieces of words of which every failure has one, in lower case: a cheap look before a line is taken apart.
_STEMS = (
    "err fail fatal panic crit emerg alert excep traceback warn severe wrn cannot can't unable refused denied missing"
    " invalid required expired x509 exhaust only illegal malformed unknown abort timeout unavailable unauth forbidden"
    " uncaught unhandled segmentation dumped"
).split()
_STEMS += [
    "could not",
    "no such",
    "in use",
    "not set",
    "too many",
    "not found",
    "timed out",
    "out of memory",
    "no space",
]
_STEMS += ["waiting for", '" 5', '"level":4', '"level":5', '"level":6', '"level": 4', '"level": 5', '"level": 6']


@dataclass(frozen=True, slots=True)
class Record:
    """One message of a log, with the lines that belong to it. ``message`` is without time and level where a format
    is known; ``raw`` is everything."""

    level: Level
    message: str
    raw: str
    at: datetime | None = None

    @property
    def is_failure(self) -> bool:
        """Whether it tells of something that went wrong."""
        if self.level in ("error", "fatal"):
            return True
        return self.level in ("", "warning") and _WORDS_OF_FAILURE.search(self.message) is not None

    @property
    def first_line(self) -> str:
        return self.message.split("\n", 1)[0]


def grouped(text: str) -> Iterator[list[str]]:
    """The text's lines, oldest first, as lists of those that make one record: a stack trace is whole, under the
    message it was logged with."""
    lines: list[str] = []
    in_trace = closed = False
    for line in text.splitlines():
        plain = _COLOR.sub("", line) if "\x1b" in line else line
        may_follow = bool(lines) and len(lines) < _MAX_RECORD_LINES and _CONTINUATION.match(plain) is not None
        starts_trace = (may_follow or not plain.startswith(" ")) and _starts_trace(plain)
        follows = may_follow
        if follows and (starts_trace or _RAISED.match(plain)) and not in_trace:
            # a trace belongs to the error it was logged with, not to whatever was said before it
            follows = record(lines[:1]).level in ("error", "fatal", "warning")
        if follows and closed and not _MORE_TRACE.match(plain):
            follows = False
        if not follows:
            if lines:
                yield lines
            lines, in_trace, closed = ([plain] if plain.strip() else []), starts_trace, False
            continue
        in_trace = in_trace or starts_trace
        closed = in_trace and _RAISED.match(plain) is not None
        lines.append(plain)
    if lines:
        yield lines


def _starts_trace(line: str) -> bool:
    if "raceback" not in line and "panic" not in line and "fatal error" not in line and "Exception in" not in line:
        return False
    return _STARTS_TRACE.search(_TIMESTAMP.sub("", line)) is not None


def stems_in(text: str) -> tuple[str, ...]:
    """Which pieces of words of failures the text has at all; `may_fail` looks for no other."""
    lowered = text.lower()
    return tuple(stem for stem in _STEMS if stem in lowered)


def may_fail(lines: list[str], stems: tuple[str, ...]) -> bool:
    """Whether the record is worth taking apart: cheap, and never wrong about a failure."""
    first = lines[0]
    if (first[:1] in "EF" and first[1:5].isdigit()) or first[:1] == "<":
        return True
    lowered = first.lower() if len(lines) == 1 else "\n".join(lines).lower()
    return any(stem in lowered for stem in stems)


def record(lines: list[str]) -> Record:
    """The record that the lines make."""
    raw = "\n".join(lines).rstrip()
    first = lines[0]
    rest = raw[len(first) :]
    at: datetime | None = None
    cri = _CRI.match(first)
    if cri:
        at, first = time_of(cri["at"]), first[cri.end() :]
    if first.lstrip().startswith("{"):
        parsed = _json(first)
        if parsed is not None:
            level, message, told = parsed
            return Record(level, message + rest, raw, told or time_of(first) or at)
    body = _TIMESTAMP.sub("", first) if first[:1].isdigit() or first[:1] in "[ABCDEFGHIJKLMNOPQRSTUVWXYZ" else first
    klog = _KLOG.match(body) or _KLOG.match(first)
    if klog:
        source = body if _KLOG.match(body) else first
        return Record(_KLOG_LEVELS[klog[1]], source[klog.end() :] + rest, raw, time_of(first) or at)
    syslog = _SYSLOG.match(first)
    if syslog:
        level = _severity(int(syslog["priority"]) % 8)
        return Record(level, _TIMESTAMP.sub("", first[syslog.end() :]) + rest, raw, time_of(first) or at)
    return Record(level_of(body), body + rest, raw, time_of(first) or at)


def time_of(line: str) -> datetime | None:
    """The first time in the line's beginning; without a zone it is taken as UTC."""
    match = _TIME.search(line[:200])
    if match is None:
        return None
    zone = (match["zone"] or "Z").replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(f"{match['date'].replace('/', '-')}T{match['clock']}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def dated(line: str) -> datetime | None:
    """When a line was written, in whatever format it is."""
    return record([line]).at if line.lstrip()[:1] == "{" else time_of(line)


def last_moment(log: str, *, until: datetime, most_lines: int = 2000) -> datetime | None:
    """When the last line was written, of those that are not later than ``until``; None: nobody knows."""
    for line in reversed(log[-200_000:].splitlines()[-most_lines:]):
        at = dated(line)
        if at is not None and at <= until:
            return at
    return None


def level_of(line: str) -> Level:
    """The level a line names in its first 300 characters; of an access log by its status."""
    head = line[:300]
    for pattern in (_LOGFMT_LEVEL, _MARKED_LEVEL, _UPPER_LEVEL):
        match = pattern.search(head)
        if match:
            return _LEVELS[next(group for group in match.groups() if group).lower()]
    access = _ACCESS.search(line)
    if access:
        return "error" if access["status"] >= "500" else "info"
    return ""


def _severity(number: int) -> Level:
    return "fatal" if number <= 2 else "error" if number == 3 else "warning" if number == 4 else "info"


def _json(line: str) -> tuple[Level, str, datetime | None] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    lowered = {str(k).lower(): v for k, v in value.items()}
    inner = lowered.get("log")
    if isinstance(inner, str) and "stream" in lowered:  # Docker's own format around the program's line
        told = record([inner.rstrip("\n") or " "])
        return told.level, told.message, told.at or _when(lowered)
    raw_level = next(
        (lowered[k] for k in ("level", "lvl", "severity", "severitytext", "loglevel", "log.level") if k in lowered), ""
    )
    level: Level = ""
    if isinstance(raw_level, str):
        level = _LEVELS.get(raw_level.lower(), "")
    elif isinstance(raw_level, int) and not isinstance(raw_level, bool):  # bunyan, pino
        level = "fatal" if raw_level >= 60 else "error" if raw_level >= 50 else "warning" if raw_level >= 40 else "info"
    parts = [
        str(lowered[key])
        for key in (
            "msg",
            "message",
            "body",
            "event",
            "error",
            "err",
            "exception",
            "stack",
            "stacktrace",
            "stack_trace",
            "detail",
        )
        if lowered.get(key)
    ]
    return level, ": ".join(dict.fromkeys(parts)) or line, _when(lowered)


def _when(fields: dict[str, Any]) -> datetime | None:
    for key in ("time", "ts", "timestamp", "@timestamp", "t"):
        value = fields.get(key)
        if isinstance(value, str):
            return time_of(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value > 1e11 else value
            try:
                return datetime.fromtimestamp(seconds, UTC) if seconds > 1e9 else None
            except (ValueError, OverflowError, OSError):
                return None
    return None
