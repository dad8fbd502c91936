"""The embedded index: all vectors in one matrix, every row compared.

Qdrant's own local mode looks at every point's payload in Python: 0.2 s a search at 20,000 entries, a second at 100,000.
A matrix product over the rows that pass the filter compares them all too, and takes a few milliseconds. Components are
kept as 16-bit fixed point, half the size of floats: a cosine is off by less than 0.0001. Nothing is kept on disk: the
database is the record, and what it calls indexed is read back when the index is opened.
"""

# ruff: noqa: PLC0415 - numpy is loaded in workers only
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from knowledge.embeddings import Matrix
    from knowledge.point import Point

_FIRST_CAPACITY = 1024
#: A component of a unit vector, -1..1, as int16.
_ONE = 32767
#: Rows turned into floats at once: with 512 dimensions they stay in the processor's cache (1 MB).
_SLICE = 512

Load = Callable[[str, int], Iterable["Sequence[Point]"]]


class MatrixIndex:
    """Collections by model and dimension. Safe from several threads."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._collections: dict[tuple[str, int], _Collection] = {}
        self._lock = threading.RLock()

    def is_open(self, model: str, dims: int) -> bool:
        """Whether a search can be answered at once."""
        return (model, dims) in self._collections

    def upsert(self, points: Sequence[Point], *, model: str, dims: int) -> None:
        """Write points; the same key again replaces."""
        with self._lock:
            self._collection(model, dims).upsert(points)

    def delete(self, keys: Sequence[int]) -> None:
        """From all collections."""
        with self._lock:
            for collection in self._collections.values():
                collection.delete(keys)

    def search(self, vector: Matrix, *, model: str, where: Mapping[str, str], limit: int) -> list[tuple[int, float]]:
        """(key, cosine) of the nearest, best first."""
        with self._lock:
            collection = self._collection(model, len(vector))
            return collection.search(vector, where, limit)

    def count(self, model: str, dims: int) -> int:
        """Points of a collection."""
        with self._lock:
            return self._collection(model, dims).count

    def _collection(self, model: str, dims: int) -> _Collection:
        found = self._collections.get((model, dims))
        if found is None:
            found = _Collection(dims)
            for points in self._load(model, dims):
                found.upsert(points)
            self._collections[model, dims] = found
        return found


class _Collection:
    """Rows of unit vectors, times `_ONE`, with coded payloads. Deleted rows are filled by the last one."""

    def __init__(self, dims: int) -> None:
        import numpy as np

        self._dims = dims
        self.count = 0
        self._vectors: NDArray[np.int16] = np.zeros((_FIRST_CAPACITY, dims), dtype=np.int16)
        self._keys: NDArray[np.int64] = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._row: dict[int, int] = {}
        self._codes: dict[str, NDArray[np.int32]] = {}
        self._code_of: dict[tuple[str, str], int] = {}

    def upsert(self, points: Sequence[Point]) -> None:
        import numpy as np

        for point in points:
            if len(point.vector) != self._dims:
                raise ValueError(f"a vector of {len(point.vector)} dimensions among vectors of {self._dims}")
            row = self._row.get(point.key)
            if row is None:
                row = self.count
                self._grow(row + 1)
                self.count += 1
                self._row[point.key], self._keys[row] = row, point.key
            self._vectors[row] = np.rint(np.clip(point.vector, -1, 1) * _ONE)
            for name, value in point.payload.items():
                self._column(name)[row] = self._code(name, value)

    def delete(self, keys: Sequence[int]) -> None:
        for key in keys:
            row = self._row.pop(key, None)
            if row is None:
                continue
            last = self.count - 1
            if row != last:
                moved = int(self._keys[last])
                self._vectors[row], self._keys[row], self._row[moved] = self._vectors[last], moved, row
                for column in self._codes.values():
                    column[row] = column[last]
            self.count = last

    def search(self, vector: Matrix, where: Mapping[str, str], limit: int) -> list[tuple[int, float]]:
        import numpy as np

        if not self.count or limit < 1:
            return []
        rows = self._passing(where)
        few = rows is not None and len(rows) < self.count // 4
        scores = self._scores(vector, rows if few else None)
        if rows is not None and not few:
            scores = scores[rows]
        best = np.argpartition(scores, -limit)[-limit:] if len(scores) > limit else np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")]
        keys = self._keys[best] if rows is None else self._keys[rows[best]]
        return [(int(key), float(score)) for key, score in zip(keys, scores[best], strict=True)]

    def _scores(self, vector: Matrix, rows: NDArray[np.int64] | None) -> Matrix:
        """Cosines of these rows, of all by default."""
        import numpy as np

        number = self.count if rows is None else len(rows)
        scaled = np.asarray(vector, dtype=np.float32) / _ONE
        scores, floats = np.empty(number, dtype=np.float32), np.empty((_SLICE, self._dims), dtype=np.float32)
        for at in range(0, number, _SLICE):
            end = min(at + _SLICE, number)
            part = floats[: end - at]
            part[:] = self._vectors[at:end] if rows is None else self._vectors[rows[at:end]]
            np.dot(part, scaled, out=scores[at:end])
        return scores

    def _passing(self, where: Mapping[str, str]) -> NDArray[np.int64] | None:
        """Rows that have all values; None: every row."""
        import numpy as np

        if not where:
            return None
        mask = np.ones(self.count, dtype=bool)
        for name, value in where.items():
            code = self._code_of.get((name, value))
            if code is None or name not in self._codes:
                return np.zeros(0, dtype=np.int64)
            mask &= self._codes[name][: self.count] == code
        return np.flatnonzero(mask)

    def _code(self, name: str, value: str) -> int:
        return self._code_of.setdefault((name, value), len(self._code_of) + 1)

    def _column(self, name: str) -> NDArray[np.int32]:
        import numpy as np

        if name not in self._codes:
            self._codes[name] = np.zeros(len(self._keys), dtype=np.int32)
        return self._codes[name]

    def _grow(self, wanted: int) -> None:
        if wanted <= len(self._keys):
            return
        capacity = max(wanted, len(self._keys) + len(self._keys) // 8)
        # In place: the memory is extended, not copied, so that growing never needs it twice. No view outlives the lock.
        self._vectors.resize((capacity, self._dims), refcheck=False)
        self._keys.resize(capacity, refcheck=False)
        for column in self._codes.values():
            column.resize(capacity, refcheck=False)
