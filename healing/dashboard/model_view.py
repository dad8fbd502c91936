"""What a language model was asked about an event and what it said, for the event's page."""

from __future__ import annotations

import json
from dataclasses import dataclass

from healing.models import LlmCall, LlmCallState

_STATES: dict[str, str] = {
    LlmCallState.ASKED: "is thinking",
    LlmCallState.USED: "was heard",
    LlmCallState.STRUCK: "gave no usable answer; the rules decided",
    LlmCallState.FAILED: "did not answer; the rules decided",
    LlmCallState.SKIPPED: "was not asked; the rules decided",
}


@dataclass(frozen=True, slots=True)
class ModelCallView:
    """One call. ``opinion`` is its answer's text for people; ``writes`` what has come so far while it thinks."""

    row: LlmCall
    headline: str
    opinion: dict[str, object]
    writes: str

    @property
    def cost(self) -> str:
        """Tokens and money, in words."""
        row = self.row
        tokens = row.prompt_tokens + row.completion_tokens
        if not tokens:
            return ""
        price = "price not known" if row.cost_usd is None else f"{row.cost_usd:.4f} USD"
        return f"{row.prompt_tokens:,} + {row.completion_tokens:,} tokens, {price}, {row.seconds:.1f} s"


def call_view(row: LlmCall) -> ModelCallView:
    """For the page. Only an answer that was used is shown as an opinion."""
    opinion: dict[str, object] = {}
    if row.state == LlmCallState.USED:
        start, end = row.answer.find("{"), row.answer.rfind("}")
        try:
            found = json.loads(row.answer[start : end + 1])
        except ValueError:
            found = {}
        opinion = found if isinstance(found, dict) else {}
    writes = row.answer if row.state == LlmCallState.ASKED else ""
    return ModelCallView(row, f"{row.model} {_STATES[row.state]}", opinion, writes)
