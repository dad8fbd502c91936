"""Qdrant as the index over knowledge entries: a server by URL, or embedded in this process by path.

Embedded, the directory belongs to one process (the worker); others get `IndexUnavailable` and search the database.
A collection is named after model and dimension, so that vectors of two models can never meet.
"""

# ruff: noqa: PLC0415 - qdrant-client is loaded in workers only
from __future__ import annotations

import functools
import math
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from knowledge.embeddings import Matrix

log = structlog.get_logger(__name__)

#: After a failure the index is left alone that long: a healing must not wait for it again and again.
PAUSE_SECONDS = 10.0
_GRPC_PORT = 6334


class IndexUnavailable(Exception):
    """Qdrant is down, too slow, or owned by another process. The database still knows everything."""


@dataclass(frozen=True, slots=True)
class Point:
    """What the index keeps of an entry: its key, its vector and what can be filtered by."""

    key: int
    vector: Matrix
    payload: Mapping[str, str]


class Index:
    """One Qdrant. All calls raise `IndexUnavailable`; they are safe from several threads."""

    def __init__(self, *, url: str = "", path: Path | None = None, api_key: str | None = None) -> None:
        self._url, self._path, self._api_key = url, path, api_key
        self._client: QdrantClient | None = None
        self._collections: set[str] = set()
        self._retry_at = 0.0
        # The embedded client is not made for threads; for a server the lock only guards the first connection.
        self._lock = threading.RLock()

    def upsert(self, points: Iterable[Point], *, model: str, dims: int, timeout_seconds: float = 5.0) -> None:
        """Write points; the same key again replaces."""

        def call(client: QdrantClient, timeout: int) -> None:
            from qdrant_client.models import PointStruct

            collection = self._collection(client, model, dims)
            structs = [PointStruct(id=p.key, vector=p.vector.tolist(), payload=dict(p.payload)) for p in points]
            client.upsert(collection, structs, wait=True, timeout=timeout)

        self._call(call, timeout_seconds)

    def search(
        self,
        vector: Matrix,
        *,
        model: str,
        where: Mapping[str, str],
        limit: int,
        timeout_seconds: float = 2.0,
    ) -> list[tuple[int, float]]:
        """(key, cosine similarity) of the nearest points whose payload has all values of ``where``."""

        def call(client: QdrantClient, timeout: int) -> list[tuple[int, float]]:
            from qdrant_client.models import FieldCondition, Filter, MatchValue

            collection = self._collection(client, model, len(vector))
            conditions: list[Any] = [FieldCondition(key=k, match=MatchValue(value=v)) for k, v in where.items()]
            answer = client.query_points(
                collection,
                query=vector.tolist(),
                query_filter=Filter(must=conditions) if conditions else None,
                limit=limit,
                with_payload=False,
                timeout=timeout,
            )
            return [(int(hit.id), float(hit.score)) for hit in answer.points]

        result: list[tuple[int, float]] = self._call(call, timeout_seconds)
        return result

    def close(self) -> None:
        """Give the connection (embedded: the directory) back."""
        with self._lock:
            client, self._client = self._client, None
            self._collections.clear()
        if client is not None:
            client.close()

    def _call(self, call: Any, timeout_seconds: float) -> Any:
        if time.monotonic() < self._retry_at:
            raise IndexUnavailable("Qdrant failed a moment ago; it is tried again shortly.")
        timeout = max(1, math.ceil(timeout_seconds))
        try:
            if self._path is None:
                return call(self._connect(timeout), timeout)
            if not self._lock.acquire(timeout=timeout_seconds):
                raise TimeoutError("the embedded Qdrant is busy")  # noqa: TRY301 - fails like a server that is slow
            try:
                return call(self._connect(timeout), timeout)
            finally:
                self._lock.release()
        except Exception as error:  # qdrant-client raises what httpx, grpc and its own parts raise
            self._retry_at = time.monotonic() + PAUSE_SECONDS
            self._collections.clear()
            log.warning("Qdrant is not available", error=f"{type(error).__name__}: {error}")
            raise IndexUnavailable(str(error)) from error

    def _connect(self, timeout: int) -> QdrantClient:
        with self._lock:
            if self._client is None:
                self._client = self._open(timeout)
            return self._client

    def _open(self, timeout: int) -> QdrantClient:
        from qdrant_client import QdrantClient

        if self._path is not None:
            self._path.mkdir(parents=True, exist_ok=True)
            return QdrantClient(path=str(self._path), force_disable_check_same_thread=True)
        parts = urlsplit(self._url)
        grpc = parts.port == _GRPC_PORT
        return QdrantClient(
            host=parts.hostname,
            port=6333 if grpc or parts.port is None else parts.port,
            grpc_port=_GRPC_PORT,
            prefer_grpc=grpc,
            https=parts.scheme == "https",
            prefix=parts.path.strip("/") or None,
            api_key=self._api_key,
            timeout=timeout,
            check_compatibility=False,
        )

    def _collection(self, client: QdrantClient, model: str, dims: int) -> str:
        from qdrant_client.models import Distance, PayloadSchemaType, VectorParams

        name = f"recist-{re.sub(r'[^a-z0-9]+', '-', model.lower())}-{dims}"
        if name in self._collections:
            return name
        if not client.collection_exists(name):
            try:
                client.create_collection(name, VectorParams(size=dims, distance=Distance.COSINE))
            except Exception:  # another worker may have been faster
                if not client.collection_exists(name):
                    raise
            if self._path is None:  # the embedded one has no payload indexes and warns about them
                for key in ("cluster", "namespace", "cause", "outcome"):
                    client.create_payload_index(name, key, PayloadSchemaType.KEYWORD)
        vectors = client.get_collection(name).config.params.vectors
        size = getattr(vectors, "size", None)
        if size != dims:
            raise IndexUnavailable(f"Collection {name} holds vectors of {size} dimensions, not {dims}.")
        self._collections.add(name)
        return name


@functools.cache
def default_index() -> Index:
    """The process's index, from the settings QDRANT_PATH or QDRANT_URL."""
    return Index(url=settings.QDRANT_URL, path=settings.QDRANT_PATH, api_key=settings.QDRANT_API_KEY)
