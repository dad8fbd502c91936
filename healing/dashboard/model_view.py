"""What a language model was asked about an event and what it said, for the event's page."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _, gettext_lazy

from healing.models import LlmCall, LlmCallState

_STATES: dict[str, Promise] = {
    LlmCallState.ASKED: gettext_lazy("%(model)s is thinking"),
    LlmCallState.USED: gettext_lazy("%(model)s was heard"),
    LlmCallState.STRUCK: gettext_lazy("%(model)s gave no usable answer; the rules decided"),
    LlmCallState.FAILED: gettext_lazy("%(model)s did not answer; the rules decided"),
    LlmCallState.SKIPPED: gettext_lazy("%(model)s was not asked; the rules decided"),
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
        values = {
            "asked": f"{row.prompt_tokens:,}",
            "answered": f"{row.completion_tokens:,}",
            "seconds": f"{row.seconds:.1f}",
        }
        if row.cost_usd is None:
            return _("%(asked)s + %(answered)s tokens, price not known, %(seconds)s s") % values
        text = _("%(asked)s + %(answered)s tokens, %(price)s USD, %(seconds)s s")
        return text % {**values, "price": f"{row.cost_usd:.4f}"}


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
    return ModelCallView(row, str(_STATES[row.state]) % {"model": row.model}, opinion, writes)
