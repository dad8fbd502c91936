"""A question to people. A row with an expiry; decided by compare-and-swap, once."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from healing.models.event import HealingEvent
from healing.models.strategy import Strategy


class ApprovalState(models.TextChoices):
    OPEN = "open", "open"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    OVERRIDDEN = "overridden", "overridden"  # a person chose another strategy
    EXPIRED = "expired", "expired"
    STALE = "stale", "stale"  # the world changed: proposed anew


class Approval(models.Model):
    """Bound to ``digest`` of the plan that people see."""

    event = models.ForeignKey(HealingEvent, on_delete=models.CASCADE, related_name="approvals")
    strategy = models.ForeignKey(Strategy, on_delete=models.CASCADE, related_name="approvals")
    digest = models.CharField(max_length=64)
    risk = models.CharField(max_length=10)
    #: why a person is asked, in words
    reason = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=ApprovalState.choices, default=ApprovalState.OPEN)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_by_name = models.CharField(max_length=150, blank=True)
    comment = models.TextField(blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.UniqueConstraint(fields=("event",), condition=Q(state="open"), name="approval_one_open_per_event"),
        )
        indexes = (models.Index(fields=("state", "expires_at"), name="approval_expiry"),)

    def __str__(self) -> str:
        return f"{self.state} {self.strategy_id}"
