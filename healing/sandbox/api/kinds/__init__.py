"""Defaults and checks, kind by kind."""

from __future__ import annotations

from healing.sandbox.api.rules import Rules

KIND_RULES: dict[str, Rules] = {}
