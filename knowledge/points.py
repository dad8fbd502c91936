"""Entries as points of the index."""

from __future__ import annotations

from collections.abc import Iterator

from knowledge import embeddings
from knowledge.models import KnowledgeEntry
from knowledge.point import Point

_BATCH = 2_000
_FIELDS = ("cluster", "namespace", "cause", "corrected_cause", "outcome", "topic_id", "kind")


def point(entry: KnowledgeEntry) -> Point:
    """Raises `ValueError` for an entry without an embedding."""
    if entry.embedding is None:
        raise ValueError(f"{entry.ref} has no embedding.")
    return Point(entry.pk, embeddings.from_bytes(entry.embedding), payload(entry))


def payload(entry: KnowledgeEntry) -> dict[str, str]:
    """What can be filtered by."""
    return {
        "cluster": entry.cluster,
        "namespace": entry.namespace,
        "cause": entry.named_cause,
        "outcome": entry.outcome,
        "topic": str(entry.topic_id or ""),
        "kind": str(entry.kind),
    }


def indexed_points(model: str, dims: int) -> Iterator[list[Point]]:
    """All that the record calls indexed, in batches, by key."""
    entries = KnowledgeEntry.objects.filter(
        embedding_model=model,
        embedding_dims=dims,
        embedding__isnull=False,
        indexed_at__isnull=False,
        merged_into__isnull=True,
    ).order_by("pk")
    last = 0
    while batch := list(entries.filter(pk__gt=last).only("pk", "embedding", *_FIELDS)[:_BATCH]):
        yield [point(entry) for entry in batch]
        last = batch[-1].pk
