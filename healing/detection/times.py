"""Times as the API writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def parse_time(text: Any) -> datetime | None:
    """RFC 3339 as a UTC datetime; None for what is absent or no time."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
