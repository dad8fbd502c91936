"""What a language model was asked and what it answered: kept so that anyone can read exactly what it saw."""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy


class LlmCallState(models.TextChoices):
    ASKED = "asked", pgettext_lazy("state of a question to a model", "waiting for the answer")
    USED = "used", pgettext_lazy("state of a question to a model", "answered")
    STRUCK = "struck", pgettext_lazy("state of a question to a model", "answer discarded")
    FAILED = "failed", pgettext_lazy("state of a question to a model", "no answer")
    SKIPPED = "skipped", pgettext_lazy("state of a question to a model", "not asked")


class LlmCall(models.Model):
    """One question about one event. ``prompt`` is redacted before it is stored, and stored before it is sent."""

    event = models.ForeignKey("HealingEvent", on_delete=models.CASCADE, related_name="llm_calls")
    purpose = models.CharField(max_length=20, default="diagnosis")
    model = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=LlmCallState.choices, default=LlmCallState.ASKED)
    system = models.TextField(blank=True)
    prompt = models.TextField(blank=True)
    answer = models.TextField(blank=True, help_text="As far as it has come; redacted.")
    #: why claims were struck, or why there is no answer
    remarks = models.JSONField(default=list, blank=True)
    verdict = models.CharField(max_length=10, blank=True, help_text="agrees, prefers or adds.")
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.FloatField(null=True, blank=True, help_text="Empty: the model's price is not known.")
    seconds = models.FloatField(default=0.0)
    asked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "language model call"
        ordering = ("asked_at", "id")
        indexes = (models.Index(fields=("-asked_at",), name="llm_call_newest"),)

    def __str__(self) -> str:
        return f"{self.model} {self.state} for {self.event_id}"
