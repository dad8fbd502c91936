"""Upkeep of the memory; queue ``knowledge``. Every task may run twice, or never."""

from __future__ import annotations

from celery import shared_task
from django.db.models import Q
from django.utils import timezone

from knowledge import embeddings
from knowledge.index import IndexUnavailable, Point, default_index
from knowledge.models import KnowledgeEntry

BATCH = 256


@shared_task(name="knowledge.tasks.index_pending", ignore_result=True)
def index_pending(batch: int = BATCH) -> int:
    """Take queued entries to Qdrant, and those whose vectors are another model's. Returns how many.

    Qdrant down: nothing happens, the entries stay queued, and beat asks again.
    """
    embedder = embeddings.default_embedder()
    other_model = ~Q(embedding_model=embedder.name) | ~Q(embedding_dims=embedder.dims) | Q(embedding__isnull=True)
    done = 0
    while entries := list(
        KnowledgeEntry.objects.filter(Q(indexed_at__isnull=True) | other_model).order_by("pk")[:batch]
    ):
        stale = [e for e in entries if (e.embedding_model, e.embedding_dims) != (embedder.name, embedder.dims)]
        stale += [e for e in entries if e.embedding is None and e not in stale]
        if stale:
            for entry, vector in zip(stale, embedder.embed([e.text for e in stale]), strict=True):
                entry.embedding = embeddings.to_bytes(vector)
                entry.embedding_model, entry.embedding_dims = embedder.name, embedder.dims
                entry.indexed_at = None
            KnowledgeEntry.objects.bulk_update(stale, ["embedding", "embedding_model", "embedding_dims", "indexed_at"])
        try:
            default_index().upsert([_point(e) for e in entries], model=embedder.name, dims=embedder.dims)
        except IndexUnavailable:
            return done
        KnowledgeEntry.objects.filter(pk__in=[e.pk for e in entries]).update(indexed_at=timezone.now())
        done += len(entries)
    return done


def _point(entry: KnowledgeEntry) -> Point:
    if entry.embedding is None:
        raise ValueError(f"{entry.ref} has no embedding.")
    names = ("cluster", "namespace", "cause", "outcome", "symptom")
    payload = {name: str(getattr(entry, name)) for name in names}
    return Point(entry.pk, embeddings.from_bytes(entry.embedding), payload)
