"""What every index keeps of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowledge.embeddings import Matrix


@dataclass(frozen=True, slots=True)
class Point:
    """Its key, its vector and what can be filtered by."""

    key: int
    vector: Matrix
    payload: Mapping[str, str]
