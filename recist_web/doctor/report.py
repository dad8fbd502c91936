"""What was found, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from healing.redaction import without_hidden


class Level(IntEnum):
    """How bad it is; the worst one is the exit code."""

    OK = 0
    WARNING = 1  # it works, with something left out or soon in trouble
    ERROR = 2  # it does not work


_SIGNS = {Level.OK: "ok     ", Level.WARNING: "warning", Level.ERROR: "ERROR  "}


@dataclass(frozen=True, slots=True)
class Finding:
    """``part``: what was looked at ("database", "cluster shop-eu: permissions"). ``advice`` says what to do."""

    part: str
    level: Level
    message: str
    advice: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "level": self.level.name.lower(),
            "message": without_hidden(self.message),
            "advice": without_hidden(self.advice),
            "seconds": round(self.seconds, 3),
        }


def ok(part: str, message: str) -> Finding:
    return Finding(part, Level.OK, message)


def warning(part: str, message: str, advice: str) -> Finding:
    return Finding(part, Level.WARNING, message, advice)


def error(part: str, message: str, advice: str) -> Finding:
    return Finding(part, Level.ERROR, message, advice)


def worst(findings: Iterable[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.OK)


def in_lines(findings: Iterable[Finding]) -> list[str]:
    """For a terminal."""
    found = list(findings)
    lines = []
    for finding in found:
        told = finding.as_json()
        lines.append(f"{_SIGNS[finding.level]}  {finding.part}: {told['message']}")
        lines += [f"{'':11}{line}" for line in str(told["advice"]).splitlines()]
    counts = {level: sum(finding.level is level for finding in found) for level in Level}
    lines.append(f"\n{counts[Level.ERROR]} errors, {counts[Level.WARNING]} warnings, {counts[Level.OK]} in order.")
    return lines
