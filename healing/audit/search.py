"""Find entries, and write them out for others: CSV for people, JSON lines with the seals for machines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from healing.audit import chain
from healing.models import AuditEntry

_COLUMNS = (
    "seq", "at", "action", "actorKind", "actor", "address", "target", "cluster", "namespace", "before", "after",
    "data", "hash",
)  # fmt: skip
#: What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class BadSearch(ValueError):
    """The message says which field, and what it can be."""


@dataclass(frozen=True, slots=True)
class Search:
    """Empty fields do not filter. ``action`` matches itself and what is below it: "approval" finds both
    approval.approved and approval.rejected."""

    action: str = ""
    actor: str = ""
    cluster: str = ""
    namespace: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> Search:
        """From a query string; unknown names are ignored. Raises `BadSearch`."""
        texts = {}
        for name in ("action", "actor", "cluster", "namespace", "text"):
            text = values.get(name, "").strip()
            if "\0" in text or len(text) > 200:
                raise BadSearch(f"{name}: at most 200 characters, and no NUL")
            texts[name] = text
        return cls(**texts, since=_time("since", values), until=_time("until", values, ends=True))

    def __bool__(self) -> bool:
        return self != Search()

    def values(self) -> dict[str, str]:
        """As a query string has them."""
        found = {name: str(getattr(self, name)) for name in ("action", "actor", "cluster", "namespace", "text")}
        for name in ("since", "until"):
            at = getattr(self, name)
            found[name] = at.isoformat() if at else ""
        return {name: text for name, text in found.items() if text}

    def apply(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The rows that match."""
        if self.action:
            rows = rows.filter(Q(action=self.action) | Q(action__startswith=f"{self.action.rstrip('.')}."))
        for name in ("actor", "cluster", "namespace"):
            if text := getattr(self, name):
                rows = rows.filter(**{name: text})
        for word in self.text.split():
            rows = rows.filter(
                Q(action__icontains=word)
                | Q(actor__icontains=word)
                | Q(target__icontains=word)
                | Q(address__icontains=word)
                | Q(data__icontains=word)
            )
        if self.since:
            rows = rows.filter(at__gte=self.since)
        return rows.filter(at__lt=self.until) if self.until else rows


def _time(name: str, values: Mapping[str, str], *, ends: bool = False) -> datetime | None:
    text = values.get(name, "").strip()
    if not text:
        return None
    try:
        at = parse_datetime(text)
        day = None if at else parse_date(text)
    except ValueError:
        at = day = None
    if day is not None:  # a whole day: up to its end
        at = datetime(day.year, day.month, day.day, tzinfo=UTC) + (timedelta(days=1) if ends else timedelta())
    if at is None:
        raise BadSearch(f"{name}: {text[:40]!r} is no time; write 2026-11-23 or 2026-11-23T10:00:00Z")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def as_json(entry: AuditEntry) -> dict[str, object]:
    """What the seal covers, and the seal."""
    return {**chain.content(entry), "hash": entry.hash}


def json_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """An object a line, oldest first: what `verify` needs is in it."""
    for entry in entries:
        yield json.dumps(as_json(entry), ensure_ascii=False) + "\n"


def csv_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """For a spreadsheet: nested values as JSON; no cell is taken for a formula."""
    yield _row(_COLUMNS)
    for entry in entries:
        values = as_json(entry)
        yield _row([_cell(values[name]) for name in _COLUMNS])


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _row(values: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue()
