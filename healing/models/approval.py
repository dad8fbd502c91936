"""A question to people. A row with an expiry; decided by compare-and-swap, once. And who has said yes so far."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import pgettext_lazy

from healing.models.event import HealingEvent
from healing.models.strategy import Strategy


class ApprovalState(models.TextChoices):
    OPEN = "open", pgettext_lazy("state of an approval", "open")
    APPROVED = "approved", pgettext_lazy("state of an approval", "approved")
    REJECTED = "rejected", pgettext_lazy("state of an approval", "rejected")
    OVERRIDDEN = "overridden", pgettext_lazy("state of an approval", "overridden")  # a person chose another strategy
    EXPIRED = "expired", pgettext_lazy("state of an approval", "expired")
    STALE = "stale", pgettext_lazy("state of an approval", "stale")  # the world changed: proposed anew
    EDITED = (
        "edited",
        pgettext_lazy("state of an approval", "edited"),
    )  # a person changed the plan's parameters: planned anew
    TAKEN = "taken", pgettext_lazy("state of an approval", "taken over")  # a person does it by hand


class Approval(models.Model):
    """Bound to ``digest`` of the plan that people see. ``required`` different people have to agree.

    While it is held (``held_until`` lies ahead) nobody can let it run, and its clock stands: ``expires_at`` was moved
    by as long as it is held."""

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
    required = models.PositiveSmallIntegerField(default=1, help_text="Different people who have to agree.")
    #: of an override: what runs instead
    chosen = models.ForeignKey(Strategy, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    chosen_digest = models.CharField(max_length=64, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)
    held_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    held_by_name = models.CharField(max_length=150, blank=True)
    hold_reason = models.TextField(blank=True)
    held_seconds = models.FloatField(default=0.0, help_text="How long it was or will be held, in all.")

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.UniqueConstraint(fields=("event",), condition=Q(state="open"), name="approval_one_open_per_event"),
        )
        indexes = (models.Index(fields=("state", "expires_at"), name="approval_expiry"),)

    def __str__(self) -> str:
        return f"{self.state} {self.strategy_id}"

    def is_held(self, now: datetime) -> bool:
        """Whether somebody has stopped its clock."""
        return self.held_until is not None and self.held_until > now


class ApprovalVote(models.Model):
    """One person agrees with the plan ``digest``. Of one question, each person counts once."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="votes")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(max_length=150)
    digest = models.CharField(max_length=64)
    comment = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("at", "id")
        constraints = (models.UniqueConstraint(fields=("approval", "user"), name="vote_one_per_person"),)

    def __str__(self) -> str:
        return f"{self.name} agrees with {self.approval_id}"
