"""How a LogQL query fails."""

from __future__ import annotations


class LogQLError(Exception):
    """HTTP 400, plain text."""
