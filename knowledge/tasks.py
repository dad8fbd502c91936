"""Upkeep of the memory; queue ``knowledge``. Every task may run twice, or never."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from knowledge import embeddings
from knowledge.index import IndexUnavailable, default_index
from knowledge.models import KnowledgeEntry, RebuildState
from knowledge.points import point

BATCH = 256


@shared_task(name="knowledge.tasks.index_pending", ignore_result=True)
def index_pending(batch: int = BATCH) -> int:
    """Take queued entries to Qdrant, and those whose vectors are another model's. Returns how many.

    Qdrant down: nothing happens, the entries stay queued, and beat asks again. Killed between Qdrant and the database:
    the same points are written again under the same keys, which changes nothing.
    """
    embedder = embeddings.default_embedder()
    queue = _queue(embedder)
    done = 0
    while entries := list(queue.order_by("pk").select_related("topic")[:batch]):
        try:
            _embed(entries, embedder)
            default_index().upsert([point(e) for e in entries], model=embedder.name, dims=embedder.dims)
        except (IndexUnavailable, embeddings.EmbeddingFailed):
            return done
        _indexed(entries)
        done += len(entries)
        RebuildState.objects.filter(finished_at__isnull=True).update(done=F("done") + len(entries))
    RebuildState.objects.filter(finished_at__isnull=True, model=embedder.name).update(finished_at=timezone.now())
    return done


def _queue(embedder: embeddings.Embedder) -> QuerySet[KnowledgeEntry]:
    """Which model every entry has costs a look at the whole table: only where an index says that there is another."""
    waiting = Q(indexed_at__isnull=True)
    models = KnowledgeEntry.objects.order_by().values_list("embedding_model", "embedding_dims").distinct()
    if any(pair != (embedder.name, embedder.dims) for pair in models):
        waiting |= ~Q(embedding_model=embedder.name) | ~Q(embedding_dims=embedder.dims) | Q(embedding__isnull=True)
    return KnowledgeEntry.objects.filter(waiting, merged_into__isnull=True)


def _indexed(entries: list[KnowledgeEntry]) -> None:
    """What a person changed meanwhile stays queued."""
    written = {entry.pk: entry.version for entry in entries}
    with transaction.atomic():
        rows = KnowledgeEntry.objects.select_for_update().filter(pk__in=written).values_list("pk", "version")
        same = [pk for pk, version in rows if written[pk] == version]
        KnowledgeEntry.objects.filter(pk__in=same).update(indexed_at=timezone.now())


def _embed(entries: list[KnowledgeEntry], embedder: embeddings.Embedder) -> None:
    """Vectors of this model for those that have none. They leave the index's count until they are written there."""
    stale = [
        e
        for e in entries
        if e.embedding is None or (e.embedding_model, e.embedding_dims) != (embedder.name, embedder.dims)
    ]
    if not stale:
        return
    texts = [f"{e.title}\n{e.text}" if e.title else e.text for e in stale]
    for entry, vector in zip(stale, embedder.embed(texts), strict=True):
        entry.embedding = embeddings.to_bytes(vector)
        entry.embedding_model, entry.embedding_dims = embedder.name, embedder.dims
        entry.indexed_at = None
    KnowledgeEntry.objects.bulk_update(stale, ["embedding", "embedding_model", "embedding_dims", "indexed_at"])


@shared_task(name="knowledge.tasks.answer", ignore_result=True)
def answer(reply_to: str, question: dict[str, Any]) -> None:
    """A search that the web process asks for (`knowledge.asking`)."""
    from knowledge.asking import answer as give  # noqa: PLC0415 - tasks are registered before models are ready

    give(reply_to, question)


@shared_task(name="knowledge.tasks.upkeep", ignore_result=True)
def upkeep() -> None:
    """Forget what has expired, sort entries into topics, look for drift."""
    from knowledge import drift, forgetting, topics  # noqa: PLC0415 - same

    forgetting.forget_expired()
    topics.recompute()
    drift.look()
