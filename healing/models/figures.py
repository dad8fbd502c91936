"""What a finished event amounts to in numbers: narrow rows, so that counting a hundred thousand of them is quick."""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy

from healing.models.event import HealingEvent


class Involvement(models.TextChoices):
    """What people had to do with it: the most of it that holds."""

    HAND = "hand", pgettext_lazy("what people had to do with it", "by hand")  # a person took it over
    DECIDED = "decided", pgettext_lazy("what people had to do with it", "decided by a person")
    NONE = "none", pgettext_lazy("what people had to do with it", "nobody")


class EventFigures(models.Model):
    """One row a finished event, never changed; it stays when the event is deleted one day.

    Seconds are those of the four clocks (`healing.clocks`): without what people, other events and the cluster took.
    None: it never came to that. ``total_seconds``: from detection to healed (or to the end), without people."""

    event = models.OneToOneField(HealingEvent, null=True, on_delete=models.SET_NULL, related_name="figures")
    cluster = models.CharField(max_length=63)
    namespace = models.CharField(max_length=63, blank=True)
    cause = models.CharField(max_length=63, blank=True)
    policy_name = models.CharField(max_length=320, blank=True)
    source = models.CharField(max_length=10)
    outcome = models.CharField(max_length=10)
    involvement = models.CharField(max_length=10, choices=Involvement.choices)
    #: something was done to the workload, beyond containment
    acted = models.BooleanField()
    detected_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    containment_seconds = models.FloatField(null=True)
    diagnosis_seconds = models.FloatField(null=True)
    metacognition_seconds = models.FloatField(null=True)
    knowledge_seconds = models.FloatField(null=True)
    total_seconds = models.FloatField()
    waited_seconds = models.FloatField()
    #: strategies that were put back because they did not help, and undos that did not work
    undone = models.PositiveSmallIntegerField(default=0)
    undo_failed = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name_plural = "event figures"
        indexes = (
            models.Index(fields=("detected_at",), name="figures_newest"),
            # Asked every five seconds: how far the counting has come.
            models.Index(fields=("finished_at",), name="figures_counted"),
        )

    def __str__(self) -> str:
        return f"{self.outcome} {self.namespace} {self.cause}"
