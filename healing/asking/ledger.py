"""The ledger of what was asked of language models and answered, and what may still be spent today."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.conf import settings
from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from healing import dispatch, telemetry
from healing.asking.untrusted import clean
from healing.models import ActorKind, LlmCall, LlmCallState
from healing.phase import Note, PhaseContext
from healing.ports.language_model import Answer, LanguageModel, ModelChoice, Question

log = structlog.get_logger(__name__)

_MOST_ANSWER = 40_000


def over_budget(now: datetime) -> str:
    """Why nothing may be asked any more today (UTC), or empty. Calls of unknown price count by their tokens."""
    today = LlmCall.objects.filter(asked_at__gte=now.replace(hour=0, minute=0, second=0, microsecond=0))
    spent = today.aggregate(
        usd=Coalesce(Sum("cost_usd"), 0.0), tokens=Coalesce(Sum(F("prompt_tokens") + F("completion_tokens")), 0)
    )
    usd, tokens = settings.LLM_DAILY_SPEND_LIMIT_USD, settings.LLM_DAILY_TOKEN_LIMIT
    if usd is not None and spent["usd"] >= usd:
        return (
            f"Today's spend limit of {usd:g} USD is reached (LLM_DAILY_SPEND_LIMIT_USD); rules only until midnight UTC."
        )
    if tokens is not None and spent["tokens"] >= tokens:
        return f"Today's limit of {tokens:,} tokens is reached (LLM_DAILY_TOKEN_LIMIT); rules only until midnight UTC."
    return ""


class Call:
    """One row of the ledger, from before the question is sent. ``source``: the phase, for the timeline; ``what``: what
    is asked for, in words."""

    def __init__(
        self, context: PhaseContext, choice: ModelChoice, question: Question, *, source: str, what: str
    ) -> None:
        self._context, self._choice, self._question = context, choice, question
        # An earlier run of this phase was killed while it waited.
        lost = LlmCall.objects.filter(event=context.event, state=LlmCallState.ASKED)
        lost.update(state=LlmCallState.FAILED, remarks=["The worker that asked was stopped before the answer came."])
        self._row = LlmCall.objects.create(
            event=context.event, model=choice.model, system=question.system, prompt=question.prompt
        )
        context.report(
            Note(
                "llm-asked",
                f"{choice.model} is asked for {what}; it has {question.timeout_seconds:.0f} s.",
                data={"call": self._row.pk},
                actor_kind=ActorKind.LLM,
                actor=choice.model,
                source=source,
            )
        )

    def ask(self, model: LanguageModel) -> Answer:
        return model.ask(self._choice, self._question, on_text=self._so_far)

    def _so_far(self, text: str) -> None:
        """What it has written by now, for the page. A lost doorbell costs a moment."""
        LlmCall.objects.filter(pk=self._row.pk).update(answer=clean(text, limit=_MOST_ANSWER))
        try:
            dispatch.ring_doorbell(self._context.event.name, self._context.event.seq)
        except Exception:
            log.info("doorbell not rung", event_name=self._context.event.name, exc_info=True)

    def close(
        self, state: LlmCallState, answer: Answer | None = None, *, remarks: list[str], verdict: str = ""
    ) -> None:
        row = self._row
        row.state, row.remarks, row.verdict = state, remarks, verdict
        fields = ["state", "remarks", "verdict"]
        if answer is not None:
            row.answer = clean(answer.text, limit=_MOST_ANSWER)
            row.prompt_tokens, row.completion_tokens = answer.prompt_tokens, answer.completion_tokens
            row.cost_usd, row.seconds = answer.cost_usd, answer.seconds
            fields += ["answer", "prompt_tokens", "completion_tokens", "cost_usd", "seconds"]
        row.save(update_fields=fields)
        _count(row, has_answer=answer is not None)


def _count(row: LlmCall, *, has_answer: bool) -> None:
    telemetry.count("recist_llm_calls_total", row.model, str(row.state))
    if not has_answer:
        return
    telemetry.count("recist_llm_tokens_total", row.model, "prompt", amount=row.prompt_tokens)
    telemetry.count("recist_llm_tokens_total", row.model, "completion", amount=row.completion_tokens)
    telemetry.count("recist_llm_cost_usd_total", row.model, amount=row.cost_usd or 0.0)
    telemetry.observe("recist_llm_duration_seconds", row.model, value=row.seconds)
