"""An action on the cluster, written down with the state it found before it touches anything."""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy

from healing.models.event import HealingEvent
from healing.models.sealed import SealedJSONField
from healing.models.strategy import Strategy


class ActionState(models.TextChoices):
    PLANNED = "planned", pgettext_lazy("state of an action", "planned")  # written down, nothing sent yet
    APPLYING = "applying", pgettext_lazy("state of an action", "applying")  # the request may have reached the cluster
    APPLIED = "applied", pgettext_lazy("state of an action", "applied")
    FAILED = "failed", pgettext_lazy("state of an action", "failed")  # surely not applied
    UNDOING = "undoing", pgettext_lazy("state of an action", "undoing")
    UNDONE = "undone", pgettext_lazy("state of an action", "undone")
    UNDO_FAILED = "undoFailed", pgettext_lazy("state of an action", "undo failed")


#: Something of it may be in force: what shall leave nothing behind undoes these.
MAYBE_IN_FORCE = (ActionState.APPLYING, ActionState.APPLIED, ActionState.UNDOING)


class ActionRun(models.Model):
    """One action, applied at most once: ``key`` is the same however often its phase is run again."""

    event = models.ForeignKey(HealingEvent, on_delete=models.CASCADE, related_name="actions")
    strategy = models.ForeignKey(Strategy, null=True, blank=True, on_delete=models.CASCADE, related_name="actions")
    key = models.CharField(max_length=200, unique=True, help_text="event/purpose/step: the idempotency key.")
    action = models.CharField(max_length=40)
    target = models.JSONField()
    parameters = SealedJSONField(default=dict)
    state = models.CharField(max_length=12, choices=ActionState.choices, default=ActionState.PLANNED)
    pre_state = SealedJSONField(default=dict, help_text="What undo and the check 'is it applied already' need.")
    #: for people: [{"path", "before", "after"}]
    diff = SealedJSONField(default=list)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    #: what was changed for a time only (`healing.actions.temporary`) is put back then
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=("expires_at",),
                name="actionrun_temporary",
                condition=models.Q(expires_at__isnull=False, state__in=("applied", "undoing")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.state}"
