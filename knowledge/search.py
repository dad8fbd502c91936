"""Nearest entries: from Qdrant, completed by what is not indexed yet; from the database alone where Qdrant is down."""

# ruff: noqa: PLC0415 - numpy is loaded in workers only
from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.db.models import Count, Max, Q, QuerySet, Sum

from knowledge.index import Index, IndexUnavailable, default_index
from knowledge.models import KnowledgeEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from knowledge.embeddings import Embedder, Matrix

#: Without Qdrant so many of the newest entries are compared; each takes 2 kB of memory.
MOST_COMPARED = 20_000

Hits = list[tuple[int, float]]


def matching(where: Mapping[str, str]) -> Q:
    """The same filter for the database that the index applies to its payload."""
    found = Q(merged_into__isnull=True)
    for name, value in where.items():
        if name == "cause":
            found &= Q(corrected_cause=value) | Q(corrected_cause="", cause=value)
        elif name == "topic":
            found &= Q(topic_id=int(value) if value.isascii() and value.isdigit() else None)
        else:
            found &= Q(**{name: value})
    return found


def nearest(
    vector: Matrix,
    *,
    embedder: Embedder,
    where: Mapping[str, str],
    limit: int,
    until: float,
    index: Index | None = None,
) -> Hits:
    """(primary key, cosine) of the entries most like ``vector``, best first. ``until``: monotonic seconds."""
    same_model = KnowledgeEntry.objects.filter(
        matching(where), embedding_model=embedder.name, embedding_dims=embedder.dims, embedding__isnull=False
    )
    left = max(0.0, until - time.monotonic())
    try:
        hits = (index or default_index()).search(
            vector, model=embedder.name, where=where, limit=limit, timeout_seconds=left
        )
    except IndexUnavailable:
        return _compare(vector, _cached(same_model, embedder, where), limit)
    return best(dict([*hits, *_compare(vector, _load(_queued(same_model)), limit)]), limit)


def _queued(entries: QuerySet[KnowledgeEntry]) -> QuerySet[KnowledgeEntry]:
    """Those of ``entries`` that the index does not have yet, mostly none.

    The queue is asked for by itself: with every condition in one query SQLite goes by the model instead, which all
    entries have in common, and reads the whole table.
    """
    waiting = KnowledgeEntry.objects.filter(indexed_at__isnull=True).order_by("-pk").values_list("pk", flat=True)
    keys = list(waiting[:MOST_COMPARED])
    return entries.filter(pk__in=keys) if keys else entries.none()


def best(scores: Mapping[int, float], limit: int) -> Hits:
    """The highest scores first; of equal ones the newer entry."""
    return sorted(scores.items(), key=lambda hit: (-hit[1], -hit[0]))[:limit]


def _load(entries: QuerySet[KnowledgeEntry]) -> tuple[NDArray[np.int64], Matrix]:
    import numpy as np

    rows = list(entries.order_by("-pk").values_list("pk", "embedding")[:MOST_COMPARED])
    keys = np.array([pk for pk, _ in rows], dtype=np.int64)
    if not rows:
        return keys, np.zeros((0, 0), dtype=np.float32)
    joined = b"".join(bytes(data) for _, data in rows if data is not None)
    return keys, np.frombuffer(joined, dtype="<f4").reshape(len(rows), -1)


_cache: dict[tuple[object, ...], tuple[object, tuple[NDArray[np.int64], Matrix]]] = {}
_cache_lock = threading.Lock()


def _cached(
    entries: QuerySet[KnowledgeEntry], embedder: Embedder, where: Mapping[str, str]
) -> tuple[NDArray[np.int64], Matrix]:
    """Number, newest key and the sum of versions say whether a copy is current."""
    key = (embedder.name, embedder.dims, *sorted(where.items()))
    counted = entries.order_by().aggregate(newest=Max("pk"), number=Count("pk"), versions=Sum("version"))
    stamp = tuple(counted.values())
    with _cache_lock:
        cached = _cache.get(key)
        if cached is not None and cached[0] == stamp:
            return cached[1]
    loaded = _load(entries)
    with _cache_lock:
        if len(_cache) >= 8:
            _cache.clear()
        _cache[key] = (stamp, loaded)
    return loaded


def _compare(vector: Matrix, rows: tuple[NDArray[np.int64], Matrix], limit: int) -> Hits:
    import numpy as np

    keys, vectors = rows
    if not len(keys):
        return []
    scores = vectors @ vector
    chosen = np.argsort(-scores, kind="stable")[:limit]
    return best({int(keys[at]): float(scores[at]) for at in chosen}, limit)
