"""Texts to vectors. Only workers call this: the model takes 0.4 s and some 40 MB to load.

A model is known by its name; a vector may be compared only with vectors of the same name and length. Which one is used
says the setting EMBEDDING_MODEL; docs/knowledge.md has the measurements that the default was chosen by.
"""

# ruff: noqa: PLC0415 - numpy and the models are loaded in workers only
from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from django.conf import settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

log = structlog.get_logger(__name__)

#: Longer texts are cut: an incident says what it is about in its first lines.
MAX_CHARACTERS = 8000
_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])|[a-z]+|\d{3}")
#: What varies from one occurrence to the next and says nothing: times, addresses, hashes of pods, long numbers.
_NOISE = re.compile(
    r"\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b|0x[0-9a-f]+"
    r"|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
    r"|(?<=-)[0-9a-f]{8,10}-[a-z0-9]{5}\b|\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b|\b\d{4,}\b"
)
_COMMON = frozenset(
    "a an and are as at be been but by can could did do does for from had has have he if in into is it its more no not"
    " of on one only or our out same since so some still than that the their them then there these they this to too was"
    " we were what when where which while who will with would you your".split()
)


class EmbeddingFailed(Exception):
    """The provider does not answer. Entries stay queued, recall goes on by words and by fingerprint."""


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    name: str
    dims: int

    def embed(self, texts: Sequence[str]) -> Matrix:
        """One row a text, float32, each of unit norm (zero for a text without words). Raises `EmbeddingFailed`."""


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
        return _hashed([_words_and_pairs(text) for text in texts], self.dims)


class HybridEmbedder:
    """wordllama beside hashed stems, as one vector: meaning where words differ, the words themselves where they agree.

    The cosine of two such vectors is the weighed mean of both cosines, so that any index can search it.
    """

    name = "hybrid-wordllama-words"
    #: share of the words in the squared norm
    WORDS_SHARE = 0.35

    def __init__(self, words_share: float = WORDS_SHARE, words_dims: int = 256) -> None:
        self._meaning = WordLlamaEmbedder()
        self._share, self._words_dims = words_share, words_dims
        self.dims = self._meaning.dims + words_dims

    def embed(self, texts: Sequence[str]) -> Matrix:
        import numpy as np

        cleaned = [_NOISE.sub(" ", text[:MAX_CHARACTERS]) for text in texts]
        meaning = self._meaning.embed(cleaned)
        words = _hashed([_stems(text) for text in cleaned], self._words_dims)
        both = np.hstack([meaning * (1 - self._share) ** 0.5, words * self._share**0.5])
        return _normalised(both)


class ProviderEmbedder:
    """A provider's model through litellm (which is loaded on the first text)."""

    def __init__(self, model: str, dims: int, *, api_key: str = "", base_url: str = "", timeout_seconds: float = 4.0):
        self.name = model[:80]
        self.dims = dims
        self._model, self._api_key, self._base_url = model, api_key, base_url
        self._timeout_seconds = timeout_seconds

    def embed(self, texts: Sequence[str]) -> Matrix:
        import numpy as np

        try:
            litellm = _litellm()
            answer = litellm.embedding(
                model=self._model,
                input=[_prepared(text) for text in texts],
                api_key=self._api_key or None,
                api_base=self._base_url or None,
                timeout=self._timeout_seconds,
                max_retries=0,
                encoding_format="float",
            )
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
        except Exception as error:  # whatever the provider's library raises
            raise EmbeddingFailed(f"{self._model}: {type(error).__name__}") from error
        if vectors.shape != (len(texts), self.dims):
            raise EmbeddingFailed(
                f"{self._model} answered with vectors of shape {vectors.shape}, not ({len(texts)}, {self.dims}): "
                "set EMBEDDING_DIMENSIONS to what the model gives, then run manage.py rebuild_memory."
            )
        return _normalised(vectors)


@functools.cache
def default_embedder() -> Embedder:
    """The process's embedder by EMBEDDING_MODEL: hybrid, wordllama, hashing, or a model's name as litellm has it."""
    wanted = settings.EMBEDDING_MODEL
    if wanted == "hashing":
        return HashingEmbedder()
    if wanted not in ("hybrid", "wordllama"):
        return ProviderEmbedder(
            wanted,
            settings.EMBEDDING_DIMENSIONS,
            api_key=settings.EMBEDDING_API_KEY or "",
            base_url=settings.EMBEDDING_BASE_URL or "",
        )
    try:
        return HybridEmbedder() if wanted == "hybrid" else WordLlamaEmbedder()
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


def _litellm() -> Any:
    import logging
    import os

    # Without it litellm fetches its price list from the internet when it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return litellm


def _prepared(text: str) -> str:
    # CamelCase codes are the words that matter most, and no tokenizer knows them: OOMKilled -> OOM Killed
    text = text[:MAX_CHARACTERS] or " "
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)


def _words_and_pairs(text: str) -> Counter[str]:
    words = [word.lower() for word in _WORD.findall(_prepared(text))]
    return Counter([*words, *(f"{a} {b}" for a, b in pairwise(words))])


def _stems(text: str) -> Counter[str]:
    """Words without endings and without the common ones; identifiers as a whole too."""
    found: Counter[str] = Counter()
    for word in _WORD.findall(text):
        lower = word.lower()
        if len(lower) > 1 and lower not in _COMMON:
            found[_stem(lower)] += 1
    for identifier in re.findall(
        r"\b(?:[A-Z][a-z]+){2,}\b|\b[A-Z]{2,}(?:_[A-Z0-9]+)*\b|\b[a-z]+(?:_[a-z0-9]+)+\b", text
    ):
        found[identifier.lower()] += 1
    return found


def _stem(word: str) -> str:
    for ending in ("ations", "ation", "ings", "ing", "ions", "ion", "ies", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _hashed(counts: Sequence[Counter[str]], dims: int) -> Matrix:
    """Signed hashing; a word said often weighs little more than one said once."""
    import numpy as np

    vectors = np.zeros((len(counts), dims), dtype=np.float32)
    for row, tokens in enumerate(counts):
        for column, value in _columns(tokens, dims):
            vectors[row, column] += value
    return _normalised(vectors)


def _columns(tokens: Counter[str], dims: int) -> Iterator[tuple[int, float]]:
    for token, times in tokens.items():
        digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
        sign = 1.0 if digest[7] & 1 else -1.0
        yield int.from_bytes(digest[:4], "little") % dims, sign * times**0.5


def _normalised(vectors: Matrix) -> Matrix:
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return np.asarray(scaled, dtype=np.float32)
