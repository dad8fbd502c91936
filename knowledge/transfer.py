"""The memory as lines of JSON, to be taken to another installation.

First a header, then one entry a line. Reading is all or nothing: every line is checked before the first one is written.
The same file twice changes nothing; a newer version of an entry replaces the older one, never the other way round.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from django.db import transaction
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from knowledge import teaching
from knowledge.memory import ask_for_indexing, trials_of
from knowledge.models import KnowledgeEntry, Lesson, Trial

FORMAT, VERSION = "recist-memory", 1
MAX_LINE_BYTES = 512_000
MAX_ENTRIES = 200_000
_SHOWN = 20

Redact = Callable[[str], str]
Short = Annotated[str, Field(max_length=63, pattern=r"^[^\x00]*$")]
Text = Annotated[str, Field(max_length=100_000, pattern=r"^[^\x00]*$")]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)


class Header(_Line):
    """The first line."""

    format: Literal["recist-memory"]
    version: Literal[1]
    installation: Annotated[str, Field(min_length=1, max_length=120)]
    exported_at: AwareDatetime
    entries: Annotated[int, Field(ge=0, le=MAX_ENTRIES)]


class StrategyLine(_Line):
    strategy: Annotated[str, Field(min_length=1, max_length=80)]
    outcome: Literal["succeeded", "failed", "undone", "refused"]
    title: Annotated[str, Field(max_length=300)] = ""
    reason: Annotated[str, Field(max_length=10_000)] = ""
    actions: Annotated[list[Short], Field(max_length=50)] = []
    duration_seconds: Annotated[float, Field(ge=0, le=1e8)] | None = None


class LessonLine(_Line):
    about: Literal["cause", "fix"]
    is_right: bool
    corrected_cause: Short = ""
    note: Annotated[str, Field(max_length=10_000)] = ""
    by: Annotated[str, Field(min_length=1, max_length=150)]
    at: AwareDatetime


class EntryLine(_Line):
    """One entry. Vectors are not taken along: they are made anew."""

    ref: Annotated[str, Field(pattern=r"^ke-[0-9a-f]{8,60}$")]
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    kind: Literal["event", "note"]
    event_ref: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9-]+$")]
    cluster: Short
    namespace: Short
    fingerprint: Annotated[str, Field(max_length=64)] = ""
    symptom: Short
    cause: Short
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    target: dict[Annotated[str, Field(max_length=63)], Annotated[str, Field(max_length=320)] | None]
    topology: dict[str, Any] = {}
    title: Annotated[str, Field(max_length=200)] = ""
    text: Annotated[Text, Field(min_length=1)]
    strategies: Annotated[list[StrategyLine], Field(max_length=50)]
    person_changed: Text = ""
    outcome: Literal["healed", "recovered", "escalated", "declined", "failed", ""]
    outcome_reason: Text = ""
    duration_seconds: Annotated[float, Field(ge=0, le=1e8)] | None = None
    occurred_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    pinned: bool = False
    author: Annotated[str, Field(max_length=150)] = ""
    lessons: Annotated[list[LessonLine], Field(max_length=1000)] = []


class BadFile(Exception):
    """Nothing was imported. ``problems``: (line number, what is wrong with it)."""

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        self.problems = problems
        shown = "\n".join(f"line {number}: {text}" for number, text in problems[:_SHOWN])
        more = f"\nand {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        super().__init__(f"Nothing was imported, because of {len(problems)} bad line(s):\n{shown}{more}")


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file's entries."""

    added: int
    updated: int
    unchanged: int


def export(installation: str, redact: Redact, *, namespace: str = "", cluster: str = "") -> Iterator[str]:
    """Lines without line ends: the header first. Every text is redacted once more."""
    rows = KnowledgeEntry.objects.defer("embedding").order_by("pk")
    rows = rows.filter(**{k: v for k, v in (("namespace", namespace), ("cluster", cluster)) if v})
    header = {
        "format": FORMAT,
        "version": VERSION,
        "installation": installation,
        "exported_at": datetime.now(UTC).isoformat(),
        "entries": rows.count(),
    }
    yield json.dumps(header)
    for entry in rows.prefetch_related("lessons").iterator(chunk_size=500):
        yield json.dumps(_redacted(_line(entry), redact), ensure_ascii=False, default=str)


def read(lines: Iterable[str]) -> tuple[Header, list[EntryLine]]:
    """Check everything. Raises `BadFile` with every bad line's number."""
    problems: list[tuple[int, str]] = []
    header: Header | None = None
    entries: list[EntryLine] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = _parsed(line)
            if header is None:
                header = Header.model_validate(raw)
                continue
            entry = EntryLine.model_validate(raw)
        except (ValueError, ValidationError) as error:
            problems.append((number, _said(error)))
            if header is None:
                raise BadFile(problems) from error
            continue
        for name in (entry.ref, entry.event_ref):
            if name in seen and seen[name] != number:
                problems.append((number, f"{name} is in line {seen[name]} already"))
            seen[name] = number
        entries.append(entry)
    if header is None:
        raise BadFile([(1, "the file is empty; its first line has to be the header")])
    if not problems and len(entries) != header.entries:
        text = f"the header promises {header.entries} entries, there are {len(entries)}: the file was cut off"
        problems.append((1, text))
    if problems:
        raise BadFile(problems)
    return header, entries


def load(lines: Iterable[str], redact: Redact, *, installation: str) -> Imported:
    """Import a file, all of it or nothing. ``installation``: our own name; entries that came from here stay ours."""
    header, entries = read(lines)
    added = updated = unchanged = 0
    with transaction.atomic():
        ours = {
            ref: (pk, version, origin)
            for pk, ref, version, origin in KnowledgeEntry.objects.filter(ref__in=[e.ref for e in entries]).values_list(
                "pk", "ref", "version", "imported_from"
            )
        }
        taken = dict(
            KnowledgeEntry.objects.filter(event_ref__in=[e.event_ref for e in entries]).values_list("event_ref", "ref")
        )
        clashes = [
            (number, f"{e.event_ref} is another entry ({taken[e.event_ref]}) here")
            for number, e in enumerate(entries, 2)
            if taken.get(e.event_ref, e.ref) != e.ref
        ]
        if clashes:
            raise BadFile(clashes)
        for line in entries:
            known = ours.get(line.ref)
            if known is not None and known[1] >= line.version:
                unchanged += 1
                continue
            origin = header.installation if known is None else known[2]
            _write(line, redact, origin="" if origin == installation else origin, pk=known[0] if known else None)
            added, updated = added + (known is None), updated + (known is not None)
        transaction.on_commit(ask_for_indexing)
    return Imported(added, updated, unchanged)


def _write(line: EntryLine, redact: Redact, *, origin: str, pk: int | None) -> None:
    values = _redacted(line.model_dump(exclude={"lessons", "ref", "version"}), redact)
    for name in ("occurred_at", "expires_at"):
        values[name] = getattr(line, name)
    values |= {"imported_from": origin, "last_seen_at": line.occurred_at, "embedding": None, "indexed_at": None}
    if pk is None:
        entry = KnowledgeEntry.objects.create(ref=line.ref, version=line.version, **values)
    else:
        KnowledgeEntry.objects.filter(pk=pk).update(version=line.version, **values)
        entry = KnowledgeEntry.objects.get(pk=pk)
        entry.lessons.all().delete()
        entry.trials.all().delete()
    Trial.objects.bulk_create(trials_of(entry))
    for lesson in line.lessons:
        Lesson.objects.create(entry=entry, **{**lesson.model_dump(), "note": redact(lesson.note)})
    if line.lessons:
        teaching.conclude(entry)
        KnowledgeEntry.objects.filter(pk=entry.pk).update(version=line.version)


def _line(entry: KnowledgeEntry) -> dict[str, Any]:
    names = set(EntryLine.model_fields) - {"lessons"}
    found = {name: getattr(entry, name) for name in names}
    for name in ("occurred_at", "expires_at"):
        found[name] = found[name].isoformat() if found[name] else None
    lessons = [
        {"about": o.about, "is_right": o.is_right, "corrected_cause": o.corrected_cause, "note": o.note, "by": o.by,
         "at": o.at.isoformat()}
        for o in entry.lessons.all()
    ]  # fmt: skip
    return {**found, "lessons": lessons}


def _redacted(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item, redact) for item in value]
    return value


def _parsed(line: str) -> Any:
    if len(line.encode(errors="replace")) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _said(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'line'}: {e['msg']}" for e in found[:4])
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    return str(error)
