"""What detection asks for, by the names its results go by. The texts are in `healing.queries.catalogue`."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from healing.queries import catalogue

CPU = "cpu"
MEMORY = "memory"
LATENCY = "latency"
REQUESTS = "requests"

BATCH = catalogue.NAMESPACES_AT_ONCE
_QUERIES = MappingProxyType({CPU: catalogue.CONTAINER_CPU, MEMORY: catalogue.CONTAINER_MEMORY})


def promql(name: str, namespaces: Sequence[str]) -> str:
    """The query `CPU` or `MEMORY` for these namespaces."""
    return _QUERIES[name].text(where=catalogue.in_namespaces(namespaces))
