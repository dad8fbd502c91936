from __future__ import annotations

from tests.actions.live import live, ns

__all__ = ["live", "ns"]
