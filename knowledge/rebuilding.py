"""Embed everything anew: the entries are queued, and whoever owns the index works the queue off."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from knowledge import embeddings
from knowledge.models import KnowledgeEntry, RebuildState


def start() -> RebuildState:
    """Queue every entry for the present model; vectors of others go. Starting again starts anew."""
    embedder = embeddings.default_embedder()
    with transaction.atomic():
        RebuildState.objects.all().delete()
        rows = KnowledgeEntry.objects.filter(merged_into__isnull=True)
        total = rows.update(embedding=None, embedding_model="", embedding_dims=0, indexed_at=None)
        state: RebuildState = RebuildState.objects.create(
            model=embedder.name,
            dims=embedder.dims,
            total=total,
            started_at=timezone.now(),
            finished_at=None if total else timezone.now(),
        )
    return state


def state() -> RebuildState | None:
    """The last rebuild."""
    return RebuildState.objects.order_by("-pk").first()
