"""A memory with a Qdrant of its own, embedded in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from knowledge import forgetting, index as index_module, search, tasks
from knowledge.index import Index
from knowledge.memory import Experience, TriedStrategy
from tests.actions.live import live, ns

__all__ = ["experience", "live", "ns"]


@pytest.fixture
def use_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Index], Index]]:
    opened: list[Index] = []

    def use(index: Index) -> Index:
        opened.append(index)
        for module in (index_module, search, tasks, forgetting):
            monkeypatch.setattr(module, "default_index", lambda: index)
        return index

    yield use
    for index in opened:
        index.close()


@pytest.fixture
def qdrant(tmp_path: Path, use_index: Callable[[Index], Index]) -> Index:
    return use_index(Index(path=tmp_path / "qdrant"))


@pytest.fixture
def no_qdrant(use_index: Callable[[Index], Index]) -> Index:
    """A server nobody runs: the discard port refuses at once."""
    return use_index(Index(url="http://127.0.0.1:9"))


def experience(event_ref: str, text: str, **changes: Any) -> Experience:
    values: dict[str, Any] = {
        "event_ref": event_ref,
        "symptom": "CrashLoopBackOff",
        "text": text,
        "outcome": "healed",
        "occurred_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "namespace": "shop",
        "cause": "BadRollout",
        "ttl_days": 3650,
        "strategies": (
            TriedStrategy("restart", "failed"),
            TriedStrategy("rollback", "succeeded", actions=("rollback",)),
        ),
    }
    return Experience(**{**values, **changes})
