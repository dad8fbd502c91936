"""Messages to people elsewhere: an outbox with one row for every message and channel."""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy

from healing.models.approval import Approval
from healing.models.event import HealingEvent


class DeliveryState(models.TextChoices):
    """How far a message has come."""

    QUEUED = "queued", pgettext_lazy("state of a message", "waits to be sent")
    SENDING = "sending", pgettext_lazy("state of a message", "being sent")
    DELIVERED = "delivered", pgettext_lazy("state of a message", "delivered")
    FAILED = "failed", pgettext_lazy("state of a message", "given up")
    GROUPED = "grouped", pgettext_lazy("state of a message", "told in a summary")
    SUPERSEDED = "superseded", pgettext_lazy("state of a message", "not needed any more")


class Notified(models.IntegerChoices):
    """What of an event's life has been put into the outbox (`HealingEvent.notified`)."""

    NOTHING = 0, "nothing"
    BEGIN = 1, "its beginning"
    END = 2, "its end"


class Delivery(models.Model):
    """One message for one channel. ``key`` names it everywhere: a second row of the same key cannot be, and receivers
    get it to recognise a repetition. Secrets are never in a row: ``channel`` only says where they are."""

    key = models.CharField(max_length=64, unique=True)
    #: a constant of `healing.notifications.occasions.Kind`, or "summary"
    kind = models.CharField(max_length=40)
    cluster = models.CharField(max_length=63, blank=True)
    namespace = models.CharField(max_length=63, blank=True)
    event = models.ForeignKey(
        HealingEvent, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications"
    )
    approval = models.ForeignKey(Approval, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    #: as in the policy, with where its secrets are; `healing.notifications.channels`
    channel = models.JSONField()
    channel_type = models.CharField(max_length=20)
    #: the same for all rows that go to one receiver: it gets one message at a time
    channel_key = models.CharField(max_length=64)
    #: `healing.notifications.message.Message`
    message = models.JSONField()
    state = models.CharField(max_length=12, choices=DeliveryState.choices, default=DeliveryState.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    #: while it is being sent: after that, whoever sent it is taken for dead
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="What the receiver said last, where it did not accept.")
    summary = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="grouped")

    class Meta:
        verbose_name = "notification"
        ordering = ("-created_at", "-pk")
        indexes = (
            models.Index(
                fields=("next_attempt_at",),
                condition=models.Q(state__in=("queued", "sending")),
                name="delivery_open",
            ),
            models.Index(fields=("channel_key", "state"), name="delivery_channel"),
        )

    def __str__(self) -> str:
        return f"{self.kind} by {self.channel_type}: {self.state}"
