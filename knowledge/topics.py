"""Topics: entries grouped by centroids of their vectors. The names people gave them survive.

Leader clustering, then rounds of assigning and averaging, then merging of centroids that ended up alike: the number of
topics is not fixed beforehand, and an entry that resembles none founds its own. Old topics are the first leaders, so
that a topic keeps its row, and with it its name, for as long as it has entries.
"""

# ruff: noqa: PLC0415 - numpy is loaded in workers only
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog
from django.db import transaction
from django.db.models import Count, Max, Min
from django.utils import timezone

from knowledge import embeddings
from knowledge.models import KnowledgeEntry, Topic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from knowledge.embeddings import Matrix

log = structlog.get_logger(__name__)

#: An entry this close to a centroid belongs to it; centroids this close to each other are one.
JOIN, MERGE = 0.60, 0.82
_ROUNDS = 4
#: Of more entries the newest are clustered and the others are put to the nearest centroid.
_CLUSTERED = 20_000
_MOST_TOPICS = 400
_BLOCK = 4096


def recompute() -> int:
    """Cluster everything of the current model; returns the number of topics."""
    embedder = embeddings.default_embedder()
    rows = KnowledgeEntry.objects.filter(
        embedding_model=embedder.name,
        embedding_dims=embedder.dims,
        embedding__isnull=False,
        merged_into__isnull=True,
    ).order_by("-pk")
    keys, vectors, topics_now = _load(rows.values_list("pk", "embedding", "topic_id"))
    if not len(keys):
        return 0
    known = list(Topic.objects.filter(embedding_model=embedder.name, embedding_dims=embedder.dims).order_by("id"))
    leaders = [embeddings.from_bytes(topic.centroid) for topic in known]
    centroids, origin = cluster(vectors[:_CLUSTERED], leaders)
    labels = assign(vectors, centroids)
    topics = _save(known, origin, centroids, labels, embedder)
    _label(keys, labels, topics, topics_now)
    _describe(topics)
    return len(topics)


def cluster(vectors: Matrix, leaders: list[Matrix]) -> tuple[Matrix, list[int | None]]:
    """Centroids, and for each the index of the leader it grew from (None: it is new)."""
    import numpy as np

    centroids = np.array(leaders, dtype=np.float32).reshape(len(leaders), vectors.shape[1])
    origin: list[int | None] = list(range(len(leaders)))
    for at in range(0, len(vectors), _BLOCK):
        block = vectors[at : at + _BLOCK]
        far = block if not len(centroids) else block[(block @ centroids.T).max(axis=1) < JOIN]
        for vector in far:
            if len(centroids) < _MOST_TOPICS and (not len(centroids) or float((centroids @ vector).max()) < JOIN):
                centroids = np.vstack([centroids, vector[None, :]])
                origin.append(None)
    for _ in range(_ROUNDS):
        labels = assign(vectors, centroids)
        centroids, origin = _averaged(vectors, labels, centroids, origin)
        centroids, origin = _merged(centroids, origin, np.bincount(labels, minlength=len(origin)))
    return centroids, origin


def assign(vectors: Matrix, centroids: Matrix) -> NDArray[np.int64]:
    """Index of the nearest centroid of each vector."""
    import numpy as np

    parts = [(vectors[at : at + _BLOCK] @ centroids.T).argmax(axis=1) for at in range(0, len(vectors), _BLOCK)]
    return np.concatenate(parts).astype(np.int64)


def _averaged(
    vectors: Matrix, labels: NDArray[np.int64], centroids: Matrix, origin: list[int | None]
) -> tuple[Matrix, list[int | None]]:
    """Means of unit length. A new centroid without entries goes; an old one stays, its entries may come back."""
    import numpy as np

    kept, kept_origin = [], []
    for number, source in enumerate(origin):
        mine = vectors[labels == number]
        if len(mine):
            mean = mine.mean(axis=0)
            kept.append(mean / max(float(np.linalg.norm(mean)), 1e-9))
            kept_origin.append(source)
        elif source is not None:
            kept.append(centroids[number])
            kept_origin.append(source)
    return np.array(kept, dtype=np.float32), kept_origin


def _merged(centroids: Matrix, origin: list[int | None], sizes: NDArray[np.int64]) -> tuple[Matrix, list[int | None]]:
    """Of two that are alike the older topic stays, of two new ones the larger."""
    import numpy as np

    sizes = np.resize(sizes, len(origin))
    order = sorted(
        range(len(origin)), key=lambda i: (origin[i] is None, origin[i] if origin[i] is not None else -int(sizes[i]))
    )
    kept: list[int] = []
    for number in order:
        if all(float(centroids[number] @ centroids[other]) < MERGE for other in kept):
            kept.append(number)
    return centroids[kept], [origin[number] for number in kept]


def _load(rows: Iterable[Any]) -> tuple[list[int], Matrix, list[int | None]]:
    import numpy as np

    found = list(rows)
    if not found:
        return [], np.zeros((0, 0), dtype=np.float32), []
    joined = b"".join(bytes(data) for _, data, _ in found)
    vectors = np.frombuffer(joined, dtype="<f4").reshape(len(found), -1)
    return [pk for pk, _, _ in found], vectors, [topic for _, _, topic in found]


def _save(
    known: list[Topic],
    origin: list[int | None],
    centroids: Matrix,
    labels: NDArray[np.int64],
    embedder: embeddings.Embedder,
) -> list[Topic]:
    import numpy as np

    now = timezone.now()
    sizes = np.bincount(labels, minlength=len(origin))
    places = _map(centroids)
    topics = []
    with transaction.atomic():
        for number, source in enumerate(origin):
            data = embeddings.to_bytes(centroids[number])
            x, y = (round(float(value), 4) for value in places[number])
            values = {"centroid": data, "size": int(sizes[number]), "x": x, "y": y}
            if source is None:
                topic = Topic.objects.create(
                    name="new",
                    embedding_model=embedder.name,
                    embedding_dims=embedder.dims,
                    first_seen_at=now,
                    last_seen_at=now,
                    **values,
                )
            else:
                topic = known[source]
                Topic.objects.filter(pk=topic.pk).update(**values)
            topics.append(topic)
        gone = {topic.pk for topic in known} - {topic.pk for topic in topics}
        # A person's name outlives its entries; a computed one does not.
        Topic.objects.filter(pk__in=gone, named_by="").delete()
        Topic.objects.filter(pk__in=gone).update(size=0)
        Topic.objects.exclude(embedding_model=embedder.name).filter(named_by="").delete()
    return topics


def _map(centroids: Matrix) -> Matrix:
    """Two coordinates each, -1..1: the two directions in which the centroids differ most."""
    import numpy as np

    if len(centroids) < 3:
        return np.array([[0.0, 0.0], [0.8, 0.0]][: len(centroids)], dtype=np.float32)
    centred = centroids - centroids.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ directions[:2].T
    # Ranks spread what would lie on one heap.
    order = flat.argsort(axis=0).argsort(axis=0)
    spread = order / (len(centroids) - 1) * 2 - 1
    return np.asarray(0.4 * flat / max(float(np.abs(flat).max()), 1e-9) + 0.6 * spread, dtype=np.float32)


def _label(keys: list[int], labels: NDArray[np.int64], topics: list[Topic], before: list[int | None]) -> None:
    """Only what changed is written, and queued: the topic is part of the payload."""
    moved: dict[int, list[int]] = {}
    for key, label, was in zip(keys, labels, before, strict=True):
        if topics[int(label)].pk != was:
            moved.setdefault(topics[int(label)].pk, []).append(key)
    for topic, entries in moved.items():
        for at in range(0, len(entries), 5000):
            KnowledgeEntry.objects.filter(pk__in=entries[at : at + 5000]).update(topic_id=topic, indexed_at=None)


def _describe(topics: list[Topic]) -> None:
    """Computed names, and when the topic's entries happened."""
    used = set(Topic.objects.exclude(named_by="").values_list("name", flat=True))
    for topic in topics:
        times = topic.entries.aggregate(first=Min("occurred_at"), last=Max("last_seen_at"))
        first, last = times["first"], times["last"] or times["first"]
        fields: dict[str, str | datetime] = {}
        if first is not None and last is not None:
            fields |= {"first_seen_at": first, "last_seen_at": last}
        if not Topic.objects.filter(pk=topic.pk).exclude(named_by="").exists():
            fields["name"] = _unused(_name(topic), used)
        Topic.objects.filter(pk=topic.pk).update(**fields)


def _name(topic: Topic) -> str:
    rows = topic.entries.values("corrected_cause", "cause", "symptom", "title").annotate(n=Count("pk")).order_by("-n")
    causes: Counter[str] = Counter()
    symptoms: Counter[str] = Counter()
    for row in rows[:50]:
        causes[row["corrected_cause"] or row["cause"] or row["title"] or "unknown cause"] += row["n"]
        symptoms[row["symptom"]] += row["n"]
    if not causes:
        return "empty"
    symptom = next((name for name, _ in symptoms.most_common(1) if name), "")
    return f"{causes.most_common(1)[0][0]}{f', seen as {symptom}' if symptom else ''}"[:100]


def _unused(name: str, used: set[str]) -> str:
    number, wanted = 1, name
    while wanted in used:
        number += 1
        wanted = f"{name} ({number})"
    used.add(wanted)
    return wanted


def rename(topic_id: int, name: str, *, by: str) -> Topic:
    """A person's name for a topic. Raises `Topic.DoesNotExist`, `ValueError`."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 120:
        raise ValueError("A topic's name has 1 to 120 characters.")
    topic = Topic.objects.get(pk=topic_id)
    topic.name, topic.named_by, topic.named_at = name, by, timezone.now()
    topic.save(update_fields=["name", "named_by", "named_at"])
    return topic
