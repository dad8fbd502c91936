"""Texts to vectors, offline. Only workers call this: the model takes 0.4 s and some 40 MB to load.

A model is known by its name; a vector may be compared only with vectors of the same name and length.
"""

# ruff: noqa: PLC0415 - numpy and the model are loaded in workers only
from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

log = structlog.get_logger(__name__)

#: Longer texts are cut: an incident says what it is about in its first lines.
MAX_CHARACTERS = 8000
_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])|[a-z]+|\d{3}")


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    name: str
    dims: int

    def embed(self, texts: Sequence[str]) -> Matrix:
        """One row a text, float32, each of unit norm (zero for a text without words)."""


class WordLlamaEmbedder:
    """Static token embeddings of wordllama, with the weights that its package brings along."""

    name = "wordllama-l2-supercat"
    dims = 256

    def __init__(self) -> None:
        import wordllama

        package = Path(wordllama.__file__).parent
        self._model: Any = wordllama.WordLlama.load(dim=self.dims, cache_dir=package, disable_download=True)

    def embed(self, texts: Sequence[str]) -> Matrix:
        vectors: Matrix = self._model.embed([_prepared(text) for text in texts], norm=False)
        return _normalised(vectors)


class HashingEmbedder:
    """Hashed words and word pairs: no model at all, for machines on which wordllama does not load."""

    name = "hashing"
    dims = 256

    def embed(self, texts: Sequence[str]) -> Matrix:
        import numpy as np

        vectors = np.zeros((len(texts), self.dims), dtype=np.float32)
        for row, text in enumerate(texts):
            words = [word.lower() for word in _WORD.findall(_prepared(text))]
            for token in (*words, *(f"{a} {b}" for a, b in pairwise(words))):
                digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
                sign = 1.0 if digest[7] & 1 else -1.0
                vectors[row, int.from_bytes(digest[:4], "little") % self.dims] += sign
        return _normalised(vectors)


@functools.cache
def default_embedder() -> Embedder:
    """The process's embedder, loaded on first use."""
    try:
        return WordLlamaEmbedder()
    except Exception:  # whatever keeps the model from loading, memory must go on without it
        log.warning("wordllama does not load; using hashed words", exc_info=True)
        return HashingEmbedder()


def to_bytes(vector: Matrix) -> bytes:
    """Little-endian float32, as the database keeps it."""
    return bytes(vector.astype("<f4").tobytes())


def from_bytes(data: bytes | memoryview) -> Matrix:
    """The inverse of `to_bytes`."""
    import numpy as np

    return np.frombuffer(bytes(data), dtype="<f4").astype(np.float32)


def _prepared(text: str) -> str:
    # CamelCase codes are the words that matter most, and no tokenizer knows them: OOMKilled -> OOM Killed
    text = text[:MAX_CHARACTERS] or " "
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)


def _normalised(vectors: Matrix) -> Matrix:
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return np.asarray(scaled, dtype=np.float32)
