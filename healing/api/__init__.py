"""The HTTP API at /api/v1/. Everything here can also be done in the dashboard, under the same rules."""

from healing.api.app import api

__all__ = ["api"]
