"""An event in a person's hands: automation leaves it alone until it is given back, fixed or over."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import pgettext_lazy

from healing.models.event import HealingEvent


class TakeoverEnd(models.TextChoices):
    """How it ended; empty: it has not."""

    FIXED = "fixed", pgettext_lazy("how a takeover ended", "fixed")  # verified after the person said so
    RELEASED = "released", pgettext_lazy("how a takeover ended", "given back")
    OVER = "over", pgettext_lazy("how a takeover ended", "over")  # the fault went away, or the event ended


class Takeover(models.Model):
    """``fix`` is what the person says they did; while it is being verified, ``claimed_at`` is set."""

    event = models.ForeignKey(HealingEvent, on_delete=models.CASCADE, related_name="takeovers")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    by_name = models.CharField(max_length=150)
    reason = models.TextField(blank=True)
    at = models.DateTimeField()
    #: the phase it was taken out of
    phase = models.CharField(max_length=20)
    claimed_at = models.DateTimeField(null=True, blank=True)
    fix = models.TextField(blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    end = models.CharField(max_length=10, blank=True, choices=TakeoverEnd.choices)

    class Meta:
        ordering = ("-at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("event",), condition=Q(ended_at__isnull=True), name="takeover_one_open_per_event"
            ),
        )

    def __str__(self) -> str:
        return f"{self.event_id} in the hands of {self.by_name}"
