"""The fast local range: the last entries of one namespace in Valkey, keys and vectors only.

A projection: whatever is not there is read back from the database, so a flushed Valkey costs one query. Vectors of
different models have different keys. Every call is a help, not a condition: nothing raises.
"""

# ruff: noqa: PLC0415 - numpy is loaded in workers only
from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, cast

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from knowledge import embeddings
from knowledge.models import KnowledgeEntry

if TYPE_CHECKING:
    from knowledge.embeddings import Embedder, Matrix

log = structlog.get_logger(__name__)

#: Without anything new a namespace's range is dropped from Valkey; the next recall reads it back.
_KEEP_SECONDS = 7 * 24 * 3600
_SECONDS = 0.3
#: Stands for "read back, and there is nothing": an absent list means "not read back".
_NOTHING = struct.pack("<q", 0)
#: A write between reading the database and filling Valkey is noticed this often.
_ROUNDS = 3

Hits = list[tuple[int, float]]


@functools.cache
def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)


def client() -> Redis:
    """This process's connection pool."""
    return _client(settings.REDIS_URL)


@functools.cache
def _blocking_client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=10, socket_connect_timeout=_SECONDS)


def blocking_client() -> Redis:
    """For commands that wait for an answer, with a time of their own."""
    return _blocking_client(settings.REDIS_URL)


def key(cluster: str, namespace: str, embedder: Embedder) -> str:
    """Where the range of a namespace is."""
    return f"recist:memory:{embedder.name}-{embedder.dims}:{cluster}:{namespace}"


def add(entry: KnowledgeEntry, embedder: Embedder, *, most: int) -> None:
    """Put a new entry in front, if the range is there at all; else the next recall reads it with the others."""
    if entry.embedding is None or entry.merged_into_id is not None:
        return
    name = key(entry.cluster, entry.namespace, embedder)
    try:
        with client().pipeline() as pipe:
            pipe.lpushx(name, _packed(entry.pk, bytes(entry.embedding)))
            pipe.ltrim(name, 0, most - 1)
            pipe.expire(name, _KEEP_SECONDS)
            pipe.execute()
    except RedisError as error:
        log.warning("the local range was not written", error=str(error))


def forget(cluster: str, namespace: str) -> None:
    """After a change or a removal: it is read back from the database."""
    try:
        found = client()
        for name in found.scan_iter(match=f"recist:memory:*:{cluster}:{namespace}", count=500):
            found.delete(name)
    except RedisError as error:
        log.warning("the local range was not dropped", error=str(error))


def nearest(vector: Matrix, cluster: str, namespace: str, *, embedder: Embedder, most: int, limit: int) -> Hits:
    """(key, cosine) of the namespace's last ``most`` entries, best first; read back first where Valkey lost them."""
    import numpy as np

    name = key(cluster, namespace, embedder)
    try:
        rows = cast("list[bytes]", client().lrange(name, 0, most - 1)) or _read_back(
            name, cluster, namespace, embedder, most
        )
    except RedisError as error:
        log.warning("the local range does not answer; asking the database", error=str(error))
        rows = _from_database(cluster, namespace, embedder, most)
    length = 8 + 2 * embedder.dims
    good = {struct.unpack_from("<q", row)[0]: row[8:] for row in reversed(rows) if len(row) == length}
    if not good:
        return []
    vectors = np.frombuffer(b"".join(good.values()), dtype="<f2").reshape(len(good), -1).astype(np.float32)
    scores = vectors @ vector
    hits = [(pk, float(score)) for pk, score in zip(good, scores, strict=True)]
    return sorted(hits, key=lambda hit: (-hit[1], -hit[0]))[:limit]


def _read_back(name: str, cluster: str, namespace: str, embedder: Embedder, most: int) -> list[bytes]:
    rows: list[bytes] = []
    for _ in range(_ROUNDS):
        rows = _from_database(cluster, namespace, embedder, most)
        with client().pipeline() as pipe:
            pipe.delete(name)
            pipe.rpush(name, *(rows or [_NOTHING]))
            pipe.expire(name, _KEEP_SECONDS)
            pipe.execute()
        # Whoever committed meanwhile may have found no list to add to.
        if _from_database(cluster, namespace, embedder, 1)[:1] == rows[:1]:
            break
    return rows


def _from_database(cluster: str, namespace: str, embedder: Embedder, most: int) -> list[bytes]:
    rows = (
        KnowledgeEntry.objects.filter(
            cluster=cluster,
            namespace=namespace,
            embedding_model=embedder.name,
            embedding_dims=embedder.dims,
            embedding__isnull=False,
            merged_into__isnull=True,
        )
        .order_by("-pk")
        .values_list("pk", "embedding")[:most]
    )
    return [_packed(pk, bytes(data)) for pk, data in rows if data is not None]


def _packed(pk: int, embedding: bytes) -> bytes:
    half = embeddings.from_bytes(embedding).astype("<f2").tobytes()
    return struct.pack("<q", pk) + bytes(half)
