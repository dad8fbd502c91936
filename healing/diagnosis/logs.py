"""Reading logs: levels of common formats, records of several lines, the lines that matter. Text in, data out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Level = Literal["debug", "info", "warning", "error", "fatal", ""]

#: So much of a log's end is read: what killed a container is there.
MAX_CHARACTERS = 400_000
_MAX_RECORD_LINES = 80
#: Without times, so many records count as recent.
_LAST_RECORDS = 40

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
_WORDS_OF_FAILURE = re.compile(
    r"\b(?:panic:|fatal error|fatal:|traceback \(most recent call last\)|uncaught|unhandled (?:exception|rejection"
    r"|promise)"
    r"|exception in thread|segmentation fault|core dumped|assertion failed|[A-Za-z.]*(?:Error|Exception)(?::| \[)"
    r"|error:"
    r"|failed to|cannot|can't|could not|unable to|refused|denied|no such|in use|missing"
    r"|invalid|not set|required|fail(?:ed|ure)|expired|x509|exhausted|too many|read-?only|illegal|malformed|unknown"
    r"|abort"
    r"|not found|timed out|timeout|unavailable|unauthorized|forbidden|out of memory|no space)",
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
_MASKED = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|\d+(?:\.\d+)*(?:ns|us|µs|ms|s|m|h"
    r"|%|B|KB|MB|GB)?"
)


_TIME = re.compile(
    r"(?P<date>\d{4}[-/]\d\d[-/]\d\d)[T ](?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,9}))?(?P<zone>Z|[+-]\d\d:?\d\d)?"
)


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
    def template(self) -> str:
        """The message with what varies taken out: records of one template say the same."""
        return _MASKED.sub("#", self.message.split("\n", 1)[0])[:200]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The latest record of a template and how often it came; ``every_seconds`` on average, None where nobody knows."""

    record: Record
    count: int
    every_seconds: float | None = None


def records(log: str) -> Iterator[Record]:
    """The log's records, oldest first; a stack trace is one record, with the message it was logged under."""
    lines: list[str] = []
    in_trace = closed = False
    for line in log[-MAX_CHARACTERS:].splitlines():
        starts_trace = _STARTS_TRACE.search(_TIMESTAMP.sub("", line)) is not None
        follows = bool(lines) and _CONTINUATION.match(line) is not None and len(lines) < _MAX_RECORD_LINES
        if follows and (starts_trace or _RAISED.match(line)) and not in_trace:
            # a trace belongs to the error it was logged with, not to whatever was said before it
            follows = _record(lines[:1]).level in ("error", "fatal", "warning")
        if follows and closed and not _MORE_TRACE.match(line):
            follows = False
        if not follows:
            if lines:
                yield _record(lines)
            lines, in_trace, closed = ([line] if line.strip() else []), starts_trace, False
            continue
        in_trace = in_trace or starts_trace
        closed = in_trace and _RAISED.match(line) is not None
        lines.append(line)
    if lines:
        yield _record(lines)


def failures(log: str, limit: int = 8, *, since: datetime | None = None) -> list[Repeated]:
    """What went wrong, deduplicated: the latest record of each template, the most telling ones first.

    Fatal before error before the rest; within a level the latest first. With ``since`` what was said before it is
    left out; where a log has no times, all but its last records.
    """
    latest: dict[str, tuple[int, Record, int, datetime | None]] = {}
    found = list(records(log))
    if since is not None:
        timed = any(record.at is not None for record in found)
        found = _since(found, since) if timed else found[-_LAST_RECORDS:]
    for position, record in enumerate(found):
        if record.is_failure:
            _, _, count, first = latest.get(record.template, (0, record, 0, record.at))
            latest[record.template] = (position, record, count + 1, first)
    rank = {"fatal": 0, "error": 1}
    ordered = sorted(latest.values(), key=lambda entry: (_rank(entry[1], rank), -entry[0]))
    return [Repeated(record, count, _every(record, count, first)) for _, record, count, first in ordered[:limit]]


def _every(record: Record, count: int, first: datetime | None) -> float | None:
    if count < 2 or record.at is None or first is None:
        return None
    return (record.at - first).total_seconds() / (count - 1)


def _since(found: list[Record], since: datetime) -> list[Record]:
    """Records from the moment on; one without a time has that of the record before it."""
    at: datetime | None = None
    kept = []
    for record in found:
        at = record.at or at
        if at is not None and at >= since:
            kept.append(record)
    return kept


def tail(log: str, lines: int = 20) -> str:
    """The last lines."""
    return "\n".join(log[-MAX_CHARACTERS:].splitlines()[-lines:])


def excerpt(repeated: Iterable[Repeated]) -> str:
    """Records as text for a person, each with how often it came."""
    return "\n".join(
        f"{item.record.raw.rstrip()}{f'  ({item.count} times)' if item.count > 1 else ''}" for item in repeated
    )


def _rank(record: Record, rank: dict[str, int]) -> int:
    if "panic" in record.message[:40].lower() or "Traceback" in record.raw:
        return 0
    return rank.get(record.level, 2)


def _record(lines: list[str]) -> Record:
    raw = "\n".join(lines).rstrip()
    first = lines[0]
    rest = raw[len(first) :]
    if first.lstrip().startswith("{"):
        parsed = _json(first)
        if parsed is not None:
            level, message = parsed
            return Record(level, message + rest, raw, _time(first))
    klog = _KLOG.match(first)
    if klog:
        return Record(_KLOG_LEVELS[klog[1]], first[klog.end() :] + rest, raw)
    stripped = _TIMESTAMP.sub("", first)
    level = _level(stripped)
    return Record(level, stripped + rest, raw, _time(first))


def _time(line: str) -> datetime | None:
    """The first time in the line's beginning; without a zone it is taken as UTC."""
    match = _TIME.search(line[:200])
    if match is None:
        return None
    zone = (match["zone"] or "Z").replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(f"{match['date'].replace('/', '-')}T{match['clock']}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _level(line: str) -> Level:
    for pattern in (_LOGFMT_LEVEL, _MARKED_LEVEL, _UPPER_LEVEL):
        match = pattern.search(line[:300])
        if match:
            return _LEVELS[next(group for group in match.groups() if group).lower()]
    return ""


def _json(line: str) -> tuple[Level, str] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    lowered = {str(k).lower(): v for k, v in value.items()}
    raw_level = next((lowered[k] for k in ("level", "lvl", "severity", "loglevel", "log.level") if k in lowered), "")
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
    return level, ": ".join(dict.fromkeys(parts)) or line
