"""A language model as the healing loop needs it: one question, one answer, within a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model to ask. ``model`` is in litellm's notation (``anthropic/…``, ``openai/…``, ``ollama_chat/…``)."""

    model: str
    api_key: str = field(default="", repr=False)
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """``schema`` is the JSON Schema the answer has to follow; ``timeout_seconds`` bounds the whole call."""

    system: str
    prompt: str
    schema: dict[str, Any]
    timeout_seconds: float
    max_tokens: int = 1200


@dataclass(frozen=True, slots=True)
class Answer:
    """``text`` as the model wrote it: not yet believed. ``cost_usd`` is None where nobody knows the model's price."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    seconds: float


class LanguageModel(Protocol):
    """All failures are `healing.ports.errors`: `Unavailable` (also: out of time), `RateLimited`, `Unauthorized`,
    `Invalid` (the request is refused), `BadResponse` (nothing usable came)."""

    def ask(self, choice: ModelChoice, question: Question, *, on_text: Callable[[str], None] | None = None) -> Answer:
        """Ask once, without retries. ``on_text`` gets all that has been written so far, again and again, while the
        model writes; it is called from the caller's thread."""
