"""Near-duplicates: the same fault of the same workload that went the same way is one entry with a count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import F

from knowledge import embeddings
from knowledge.models import EntryKind, KnowledgeEntry

if TYPE_CHECKING:
    from knowledge.embeddings import Matrix

#: As alike as this, or the very same fingerprint.
ALIKE = 0.93
_COMPARED = 50


def twin_of(entry: KnowledgeEntry, vector: Matrix | None) -> KnowledgeEntry | None:
    """The entry that ``entry`` repeats: same place, workload, cause, course and end, and a text much like it.

    What a person has spoken about, or what is flagged, is nobody's twin: it stays what it was judged as.
    """
    rows = KnowledgeEntry.objects.filter(
        kind=EntryKind.EVENT,
        cluster=entry.cluster,
        namespace=entry.namespace,
        symptom=entry.symptom,
        cause=entry.cause,
        outcome=entry.outcome,
        imported_from=entry.imported_from,
        merged_into__isnull=True,
        lessons__isnull=True,
    ).exclude(pk=entry.pk)
    for row in rows.order_by("-pk")[:_COMPARED]:
        if row.flags or row.workload != entry.workload or course(row.strategies) != course(entry.strategies):
            continue
        if row.fingerprint and row.fingerprint == entry.fingerprint and vector is None:
            return row
        if vector is None or row.embedding is None or row.embedding_dims != len(vector):
            continue
        if float(embeddings.from_bytes(row.embedding) @ vector) >= ALIKE:
            return row
    return None


def course(strategies: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool]]:
    """What was tried, in order, and whether it helped."""
    return [(s["strategy"], s["outcome"] == "succeeded") for s in strategies if s["outcome"] != "refused"]


def merge(entry: KnowledgeEntry, into: KnowledgeEntry, *, expires_at: datetime | None) -> None:
    """Within the transaction that made ``entry``. It needs no index: recall shows the other one."""
    KnowledgeEntry.objects.filter(pk=entry.pk).update(merged_into=into, indexed_at=entry.created_at)
    entry.merged_into = into
    KnowledgeEntry.objects.filter(pk=into.pk).update(
        occurrences=F("occurrences") + 1,
        last_seen_at=entry.occurred_at,
        expires_at=_later(into.expires_at, expires_at),
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def expiry(seen_at: datetime, ttl_days: int) -> datetime:
    """When an entry is forgotten."""
    return seen_at + timedelta(days=ttl_days)
