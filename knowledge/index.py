"""The index over knowledge entries: a Qdrant server by URL, or embedded in this process by path.

Embedded, the directory belongs to one process (the worker); others get `IndexUnavailable` and search the database.
"""

from __future__ import annotations

import fcntl
import functools
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from django.conf import settings
from django.db import connection

from knowledge.matrix import MatrixIndex
from knowledge.point import Point
from knowledge.qdrant import QdrantServer

if TYPE_CHECKING:
    from knowledge.embeddings import Matrix

log = structlog.get_logger(__name__)

#: After a failure the index is left alone that long: a healing must not wait for it again and again.
PAUSE_SECONDS = 10.0
#: So many entries are read when the embedded index is first asked; more are read in the background.
_READ_AT_ONCE = 3_000


class IndexUnavailable(Exception):
    """Qdrant is down, too slow, or owned by another process. The database still knows everything."""


class Index:
    """One index. All calls raise `IndexUnavailable`; they are safe from several threads."""

    def __init__(self, *, url: str = "", path: Path | None = None, api_key: str | None = None) -> None:
        self._path = path
        self._server = QdrantServer(url, api_key) if path is None else None
        self._matrix: MatrixIndex | None = None
        self._owns: TextIO | None = None
        self._opening: threading.Thread | None = None
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def upsert(self, points: Iterable[Point], *, model: str, dims: int, timeout_seconds: float = 5.0) -> None:
        """Write points; the same key again replaces."""
        kept = list(points)

        def call(timeout: int) -> None:
            if self._server is None:
                self._own().upsert(kept, model=model, dims=dims)
            else:
                self._server.upsert(kept, model=model, dims=dims, timeout=timeout)

        self._call(call, timeout_seconds)

    def delete(self, keys: Sequence[int], *, timeout_seconds: float = 5.0) -> None:
        """Take points out, whatever their model."""

        def call(timeout: int) -> None:
            if self._server is None:
                self._own().delete(keys)
            else:
                self._server.delete(keys, timeout=timeout)

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
        if self._server is None:
            self._open_or_wait(model, len(vector))

        def call(timeout: int) -> list[tuple[int, float]]:
            if self._server is None:
                return self._own().search(vector, model=model, where=where, limit=limit)
            return self._server.search(vector, model=model, where=where, limit=limit, timeout=timeout)

        result: list[tuple[int, float]] = self._call(call, timeout_seconds)
        return result

    def count(self, *, model: str, dims: int, timeout_seconds: float = 5.0) -> int:
        """How many points there are."""

        def call(timeout: int) -> int:
            if self._server is None:
                return self._own().count(model, dims)
            return self._server.count(model, dims, timeout=timeout)

        found: int = self._call(call, timeout_seconds)
        return found

    def close(self) -> None:
        """Give the connection (embedded: the directory) back."""
        if self._server is not None:
            self._server.close()
        with self._lock:
            self._matrix = None
            owns, self._owns = self._owns, None
        if owns is not None:
            owns.close()

    def _call(self, call: Callable[[int], Any], timeout_seconds: float) -> Any:
        if time.monotonic() < self._retry_at:
            raise IndexUnavailable("Qdrant failed a moment ago; it is tried again shortly.")
        try:
            return call(max(1, math.ceil(timeout_seconds)))
        except Exception as error:  # qdrant-client raises what httpx, grpc and its own parts raise
            self._retry_at = time.monotonic() + PAUSE_SECONDS
            if self._server is not None:
                self._server.forget_checks()
            log.warning("the index is not available", error=f"{type(error).__name__}: {error}")
            raise IndexUnavailable(str(error)) from error

    def _own(self) -> MatrixIndex:
        """The embedded index, once the directory is this process's. Raises `OSError` where it is another's."""
        with self._lock:
            if self._matrix is None:
                assert self._path is not None
                self._path.mkdir(parents=True, exist_ok=True)
                mine = (self._path / "owner.lock").open("w")
                try:
                    fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    mine.close()
                    raise
                self._owns = mine
                self._matrix = MatrixIndex(_indexed)
            return self._matrix

    def _open_or_wait(self, model: str, dims: int) -> None:
        """Reading 100,000 vectors takes seconds: no recall may wait for it. Raises `IndexUnavailable` meanwhile."""
        try:
            matrix = self._own()
        except OSError as error:
            raise IndexUnavailable("The embedded index belongs to another process.") from error
        if matrix.is_open(model, dims) or _how_many() <= _READ_AT_ONCE:
            return
        with self._lock:
            if self._opening is None or not self._opening.is_alive():
                self._opening = threading.Thread(target=_open, args=(matrix, model, dims), name="index", daemon=True)
                self._opening.start()
        raise IndexUnavailable("The embedded index is being read.")


def _open(matrix: MatrixIndex, model: str, dims: int) -> None:
    try:
        matrix.count(model, dims)
    finally:
        connection.close()


def _how_many() -> int:
    from knowledge.models import KnowledgeEntry  # noqa: PLC0415 - models are ready when it is called

    return KnowledgeEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _indexed(model: str, dims: int) -> Iterable[list[Point]]:
    from knowledge.points import indexed_points  # noqa: PLC0415 - it needs the models

    return indexed_points(model, dims)


@functools.cache
def default_index() -> Index:
    """The process's index, from the settings QDRANT_PATH or QDRANT_URL."""
    return Index(url=settings.QDRANT_URL, path=settings.QDRANT_PATH, api_key=settings.QDRANT_API_KEY)
