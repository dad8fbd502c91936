"""A Qdrant server as the index, over HTTP or (on port 6334) gRPC."""

# ruff: noqa: PLC0415 - qdrant-client is loaded in workers only
from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from knowledge.embeddings import Matrix
    from knowledge.point import Point

_GRPC_PORT = 6334
#: What can be filtered by.
PAYLOAD = ("cluster", "namespace", "cause", "outcome", "topic", "kind")


class WrongCollection(Exception):
    """The collection holds vectors of another model or dimension."""


class QdrantServer:
    """One server. Model and dimension are in a collection's name, its dimension is checked, and each point says which
    model made it: vectors of two models can never meet."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url, self._api_key = url, api_key
        self._client: QdrantClient | None = None
        self._checked: set[str] = set()
        self._lock = threading.Lock()

    def upsert(self, points: Sequence[Point], *, model: str, dims: int, timeout: int) -> None:
        """Write points; the same key again replaces. Returns when the server has them."""
        from qdrant_client.models import PointStruct

        client = self._connect(timeout)
        collection = self._collection(client, model, dims)
        structs = [
            PointStruct(id=p.key, vector=p.vector.tolist(), payload={**p.payload, "model": model}) for p in points
        ]
        client.upsert(collection, structs, wait=True, timeout=timeout)

    def delete(self, keys: Sequence[int], *, timeout: int) -> None:
        """From every collection of ours."""
        from qdrant_client.models import PointIdsList

        client = self._connect(timeout)
        for found in client.get_collections().collections:
            if found.name.startswith("recist-"):
                client.delete(found.name, PointIdsList(points=list(keys)), wait=True, timeout=timeout)

    def search(
        self, vector: Matrix, *, model: str, where: Mapping[str, str], limit: int, timeout: int
    ) -> list[tuple[int, float]]:
        """(key, cosine) of the nearest, best first."""
        from qdrant_client.models import FieldCondition, Filter, MatchValue

        client = self._connect(timeout)
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

    def count(self, model: str, dims: int, *, timeout: int) -> int:
        """Points of a collection."""
        client = self._connect(timeout)
        return int(client.count(self._collection(client, model, dims), exact=True).count)

    def forget_checks(self) -> None:
        """After a failure: the server may have been replaced by an empty one."""
        self._checked.clear()

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connect(self, timeout: int) -> QdrantClient:
        from qdrant_client import QdrantClient

        with self._lock:
            if self._client is None:
                parts = urlsplit(self._url)
                grpc = parts.port == _GRPC_PORT
                self._client = QdrantClient(
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
            return self._client

    def _collection(self, client: QdrantClient, model: str, dims: int) -> str:
        from qdrant_client.models import Distance, PayloadSchemaType, VectorParams

        name = collection_name(model, dims)
        if name in self._checked:
            return name
        if not client.collection_exists(name):
            try:
                client.create_collection(name, VectorParams(size=dims, distance=Distance.COSINE))
            except Exception:  # another worker may have been faster
                if not client.collection_exists(name):
                    raise
            for key in PAYLOAD:
                client.create_payload_index(name, key, PayloadSchemaType.KEYWORD)
        vectors = client.get_collection(name).config.params.vectors
        size = getattr(vectors, "size", None)
        if size != dims:
            raise WrongCollection(f"Collection {name} holds vectors of {size} dimensions, not {dims}.")
        self._checked.add(name)
        return name


def collection_name(model: str, dims: int) -> str:
    """One collection a model and dimension."""
    return f"recist-{re.sub(r'[^a-z0-9]+', '-', model.lower())}-{dims}"
