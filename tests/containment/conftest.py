from __future__ import annotations

import pytest

from healing.containment import evidence
from tests.actions.live import live, ns

__all__ = ["live", "ns"]


@pytest.fixture
def logs_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, the logs come before anything is contained."""
    monkeypatch.setattr(evidence, "_HOLD_SECONDS", 30.0)
