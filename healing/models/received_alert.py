"""Alerts that Alertmanager has delivered. Each is kept and answered for, also one that is about nothing we know."""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy

from healing.models.event import HealingEvent


class AlertState(models.TextChoices):
    """What came of it."""

    PENDING = "pending", pgettext_lazy("what became of an alert", "not looked at yet")
    MATCHED = "matched", pgettext_lazy("what became of an alert", "belongs to an event")
    UNMATCHED = "unmatched", pgettext_lazy("what became of an alert", "about nothing that is known here")
    UNCOVERED = "uncovered", pgettext_lazy("what became of an alert", "no policy covers what it is about")
    LEFT_ALONE = "left-alone", pgettext_lazy("what became of an alert", "no news: what it tells has been dealt with")
    IGNORED = "ignored", pgettext_lazy("what became of an alert", "tells of no fault")


class ReceivedAlert(models.Model):
    """One alert from its start to its end: ``fingerprint`` and ``starts_at`` name it, however often it is delivered."""

    cluster = models.CharField(max_length=63)
    fingerprint = models.CharField(max_length=64)
    starts_at = models.DateTimeField()
    name = models.CharField(max_length=200)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    generator_url = models.TextField(blank=True)
    is_firing = models.BooleanField(default=True)
    #: when it was resolved
    ends_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=12, choices=AlertState.choices, default=AlertState.PENDING)
    reason = models.TextField(blank=True, help_text="Why it stands as it does, in words.")
    target = models.JSONField(default=dict, blank=True, help_text="The object it is about.")
    event = models.ForeignKey(HealingEvent, null=True, blank=True, on_delete=models.SET_NULL, related_name="alerts")
    #: whether the event's timeline tells of its end
    is_end_told = models.BooleanField(default=False)
    received_at = models.DateTimeField(auto_now_add=True)
    last_received_at = models.DateTimeField()
    deliveries = models.PositiveIntegerField(default=1)
    #: pending ones: not before
    look_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "received alert"
        ordering = ("-last_received_at", "-pk")
        constraints = (
            models.UniqueConstraint(fields=("cluster", "fingerprint", "starts_at"), name="received_alert_once"),
        )
        indexes = (
            models.Index(
                fields=("cluster", "look_at"), condition=models.Q(look_at__isnull=False), name="received_alert_due"
            ),
            models.Index(fields=("state",), condition=models.Q(is_firing=True), name="received_alert_firing"),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.fingerprint}"
