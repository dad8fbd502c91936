"""Nearest entries: from Qdrant, completed by what is not indexed yet; from the database alone where Qdrant is down."""

# ruff: noqa: PLC0415 - numpy is loaded in workers only
from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.db.models import QuerySet

from knowledge import embeddings
from knowledge.index import Index, IndexUnavailable, default_index
from knowledge.models import KnowledgeEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from knowledge.embeddings import Embedder, Matrix

#: Without Qdrant so many of the newest entries are compared; each takes 1 kB of memory.
MOST_COMPARED = 20_000

Hits = list[tuple[int, float]]


def nearest(
    text: str,
    *,
    where: Mapping[str, str],
    limit: int,
    until: float,
    index: Index | None = None,
    embedder: Embedder | None = None,
) -> Hits:
    """(primary key, cosine) of the entries most like ``text``, best first. ``until``: monotonic seconds."""
    embedder = embedder or embeddings.default_embedder()
    vector = embedder.embed([text])[0]
    same_model = KnowledgeEntry.objects.filter(
        embedding_model=embedder.name, embedding_dims=embedder.dims, embedding__isnull=False, **where
    )
    left = max(0.0, until - time.monotonic())
    try:
        hits = (index or default_index()).search(
            vector, model=embedder.name, where=where, limit=limit, timeout_seconds=left
        )
    except IndexUnavailable:
        return _compare(vector, _cached(same_model, embedder, where), limit)
    queued = same_model.filter(indexed_at__isnull=True)
    return _best(dict([*hits, *_compare(vector, _load(queued), limit)]), limit)


def _best(scores: Mapping[int, float], limit: int) -> Hits:
    return sorted(scores.items(), key=lambda hit: (-hit[1], -hit[0]))[:limit]


def _load(entries: QuerySet[KnowledgeEntry]) -> tuple[NDArray[np.int64], Matrix]:
    import numpy as np

    rows = list(entries.order_by("-pk").values_list("pk", "embedding")[:MOST_COMPARED])
    keys = np.array([pk for pk, _ in rows], dtype=np.int64)
    if not rows:
        return keys, np.zeros((0, 0), dtype=np.float32)
    return keys, np.vstack([embeddings.from_bytes(data) for _, data in rows if data is not None])


_cache: dict[tuple[object, ...], tuple[int, tuple[NDArray[np.int64], Matrix]]] = {}
_cache_lock = threading.Lock()


def _cached(
    entries: QuerySet[KnowledgeEntry], embedder: Embedder, where: Mapping[str, str]
) -> tuple[NDArray[np.int64], Matrix]:
    """Entries are written once and not changed, so their number and the newest key say whether a copy is current."""
    key = (embedder.name, embedder.dims, *sorted(where.items()))
    newest = entries.order_by("-pk").values_list("pk", flat=True).first() or 0
    stamp = hash((newest, entries.count()))
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
    keys, vectors = rows
    if not len(keys):
        return []
    scores = vectors @ vector
    return _best({int(k): float(s) for k, s in zip(keys, scores, strict=True)}, limit)
