"""A strategy: one way to heal an event, argued for by one micro-agent."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import pgettext_lazy

from healing.models.event import HealingEvent
from healing.models.sealed import SealedJSONField


class StrategyState(models.TextChoices):
    PROPOSED = "proposed", pgettext_lazy("state of a strategy", "proposed")
    CHOSEN = "chosen", pgettext_lazy("state of a strategy", "chosen")
    REFUSED = "refused", pgettext_lazy("state of a strategy", "refused")  # guardrail or dry run said no
    APPLIED = "applied", pgettext_lazy("state of a strategy", "applied")
    SUCCEEDED = "succeeded", pgettext_lazy("state of a strategy", "verified")
    FAILED = "failed", pgettext_lazy("state of a strategy", "failed")
    UNDONE = "undone", pgettext_lazy("state of a strategy", "undone")


class Strategy(models.Model):
    """``steps``: ``[{"action", "target": ObjectRef JSON, "parameters", "plan": Plan JSON}]`` in order of execution;
    ``arguments``: the micro-agent's turns ``[{"turn", "topic", "text", "weight", "data"}]``."""

    event = models.ForeignKey(HealingEvent, on_delete=models.CASCADE, related_name="strategies")
    attempt = models.PositiveIntegerField(help_text="The event's attempt it was proposed in.")
    key = models.CharField(max_length=80, help_text="What it is, e.g. rollback; unique within an attempt.")
    title = models.CharField(max_length=200)
    rationale = models.TextField(blank=True)
    origin = models.CharField(max_length=20, help_text="causes, memory, llm or person")
    steps = SealedJSONField(default=list)
    risk = models.CharField(max_length=10, default="low")
    score = models.FloatField(default=0.0, help_text="0..1, what the decision compares.")
    confidence = models.FloatField(default=0.0, help_text="0..1, how sure the micro-agent is that it will heal.")
    arguments = models.JSONField(default=list)
    state = models.CharField(max_length=10, choices=StrategyState.choices, default=StrategyState.PROPOSED)
    state_reason = models.TextField(blank=True)
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the plan; approvals are bound to it.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who chose or edited it: this person's own approval does not count.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "strategies"
        ordering = ("attempt", "-score", "id")
        constraints = (models.UniqueConstraint(fields=("event", "attempt", "key"), name="strategy_unique_key"),)

    def __str__(self) -> str:
        return self.title
