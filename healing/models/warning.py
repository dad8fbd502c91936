"""A warning before the wound: what will reach its limit, when, and how that is known."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import pgettext_lazy

from healing.models.event import HealingEvent


class WarningKind(models.TextChoices):
    """What is running out."""

    MEMORY = "MemoryTowardLimit", pgettext_lazy("kind of warning", "memory toward its limit")
    VOLUME = "VolumeTowardFull", pgettext_lazy("kind of warning", "volume toward full")
    QUOTA = "QuotaTowardFull", pgettext_lazy("kind of warning", "quota toward full")
    RESTARTS = "RestartsRecur", pgettext_lazy("kind of warning", "restarts that come again")
    ERROR_BUDGET = "ErrorBudgetBurning", pgettext_lazy("kind of warning", "error budget burning")
    CERTIFICATE = "CertificateExpiring", pgettext_lazy("kind of warning", "certificate toward its end")


class WarningState(models.TextChoices):
    #: seen once: shown when it is seen again
    SUSPECTED = "suspected", pgettext_lazy("state of a warning", "suspected")
    OPEN = "open", pgettext_lazy("state of a warning", "open")
    #: the series turned, or was reset, before the limit
    CLEARED = "cleared", pgettext_lazy("state of a warning", "went away")
    #: the limit was reached, or a fault came of it
    CAME_TRUE = "cameTrue", pgettext_lazy("state of a warning", "came true")
    #: a fix of ours was verified
    PREVENTED = "prevented", pgettext_lazy("state of a warning", "prevented")
    DISMISSED = "dismissed", pgettext_lazy("state of a warning", "dismissed by a person")


#: A warning of these is still looked after; one a place.
LIVE = (WarningState.SUSPECTED, WarningState.OPEN)


class ProactiveWarning(models.Model):
    """``object`` is what a person would look at (workload, claim, quota); ``part`` the container or resource of it.

    ``level``, ``limit`` and ``slope_per_second`` are in ``unit``. ``breach_at`` is the likeliest time, the other two a
    90 % interval (``breach_latest_at`` None: it may never come)."""

    cluster = models.CharField(max_length=63)
    kind = models.CharField(max_length=30, choices=WarningKind.choices)
    namespace = models.CharField(max_length=63, blank=True)
    object_kind = models.CharField(max_length=63)
    object_name = models.CharField(max_length=253)
    part = models.CharField(max_length=253, blank=True)
    #: the workload that a fix would touch; empty where there is none
    workload_kind = models.CharField(max_length=63, blank=True)
    workload_name = models.CharField(max_length=253, blank=True)
    state = models.CharField(max_length=10, choices=WarningState.choices, default=WarningState.SUSPECTED)
    state_reason = models.TextField(blank=True)

    message = models.TextField()
    unit = models.CharField(max_length=20)
    level = models.FloatField()
    limit = models.FloatField()
    slope_per_second = models.FloatField(default=0.0)
    confidence = models.FloatField(default=0.0)
    breach_at = models.DateTimeField()
    breach_earliest_at = models.DateTimeField()
    breach_latest_at = models.DateTimeField(null=True, blank=True)
    #: {"points": [[t, v], ...], "samples", "spanSeconds", "seasonSeconds", "query", "subject", ...}
    evidence = models.JSONField(default=dict)
    #: {"action", "why"}: what would help; empty: a person has to know
    proposal = models.JSONField(default=dict, blank=True)

    policy_name = models.CharField(max_length=320, blank=True)
    event = models.ForeignKey(HealingEvent, null=True, blank=True, on_delete=models.SET_NULL, related_name="warnings")
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    looks = models.PositiveIntegerField(default=1)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("breach_at", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=("cluster", "kind", "namespace", "object_kind", "object_name", "part"),
                condition=Q(closed_at__isnull=True),
                name="warning_one_live_per_place",
            ),
        )
        indexes = (models.Index(fields=("state", "breach_at"), name="warning_by_state"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.object_kind} {self.namespace}/{self.object_name} {self.part}".rstrip()
