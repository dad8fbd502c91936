"""A healing event, the runs of its phases and its timeline. Only `healing.engine` writes these three."""

from __future__ import annotations

import secrets
import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import pgettext_lazy

from healing.lifecycle import Outcome, Phase, Status, is_terminal
from healing.policies.spec import PolicySpec


class ActorKind(models.TextChoices):
    """Who did what a timeline entry tells."""

    SYSTEM = "system", "ReCiSt"
    RULE = "rule", pgettext_lazy("who did it", "rule")
    LLM = "llm", pgettext_lazy("who did it", "language model")
    PERSON = "person", pgettext_lazy("who did it", "person")
    CLUSTER = "cluster", pgettext_lazy("who did it", "cluster")


def new_event_name() -> str:
    """A short, unique, DNS-safe name; it is the HealingEvent resource's name and the page's address."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no accidental words
    return "he-" + "".join(secrets.choice(alphabet) for _ in range(10))


class HealingEvent(models.Model):
    """One fault of one workload, from detection to its end.

    ``run_id`` names the current dispatch: a worker claims the row by it, and whoever holds an older one has lost.
    ``seq`` numbers the timeline without gaps. Times are UTC.
    """

    name = models.CharField(max_length=63, unique=True, default=new_event_name, editable=False)
    cluster = models.CharField(max_length=63, default="default")
    fingerprint = models.CharField(max_length=64)
    # The workload, node or Service to be healed, and the object the fault was seen on.
    target_kind = models.CharField(max_length=63)
    target_namespace = models.CharField(max_length=63, blank=True)
    target_name = models.CharField(max_length=253)
    target_uid = models.CharField(max_length=64, blank=True)
    subject = models.JSONField(default=dict, blank=True)
    symptom = models.CharField(max_length=63)
    message = models.TextField(blank=True)
    severity = models.CharField(max_length=10)
    source = models.CharField(max_length=10)
    #: every distinct symptom seen, newest last: [{"symptom", "message", "subject", "source", "at", "data"}]
    signals = models.JSONField(default=list, blank=True)
    occurrences = models.PositiveIntegerField(default=1)
    last_seen_at = models.DateTimeField()

    policy = models.ForeignKey("Policy", null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    policy_name = models.CharField(max_length=320, blank=True)
    policy_snapshot = models.JSONField(default=dict)

    phase = models.CharField(max_length=20, choices=[(p.value, p.value) for p in Phase], default=Phase.PENDING)
    status = models.CharField(max_length=10, choices=[(s.value, s.value) for s in Status], default=Status.QUEUED)
    run_id = models.UUIDField(default=uuid.uuid4, editable=False)
    seq = models.PositiveIntegerField(default=0)
    attempt = models.PositiveIntegerField(default=1, help_text="Number of the strategy being tried.")
    tries = models.PositiveIntegerField(default=0, help_text="Runs of this phase that did not commit.")
    dispatched_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(null=True, blank=True)

    cause = models.CharField(max_length=63, blank=True)
    cause_object = models.JSONField(default=dict, blank=True)
    confidence = models.FloatField(null=True, blank=True)
    #: `healing.diagnosis` writes its whole answer here: findings, evidence, graph, sources that were missing
    diagnosis = models.JSONField(default=dict, blank=True)
    outcome = models.CharField(max_length=10, blank=True, choices=[(o.value, o.value) for o in Outcome])
    outcome_reason = models.TextField(blank=True)
    knowledge_ref = models.CharField(max_length=64, blank=True, help_text="The knowledge entry made of this event.")

    detected_at = models.DateTimeField()
    contained_at = models.DateTimeField(null=True, blank=True)
    diagnosed_at = models.DateTimeField(null=True, blank=True)
    healed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    #: seconds spent waiting for people; not part of the healing time
    waited_seconds = models.FloatField(default=0.0)
    mirrored_seq = models.IntegerField(default=-1, help_text="Timeline position written to the HealingEvent resource.")
    #: `healing.models.notification.Notified`: how much of its life has been put into the notifications' outbox
    notified = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("-detected_at",)
        constraints = (
            models.UniqueConstraint(
                fields=("cluster", "fingerprint"),
                condition=Q(finished_at__isnull=True),
                name="event_one_open_per_fault",
            ),
        )
        indexes = (
            models.Index(fields=("status", "next_attempt_at"), name="event_sweep"),
            models.Index(fields=("-detected_at",), name="event_newest"),
            models.Index(fields=("cluster", "target_namespace", "target_kind", "target_name"), name="event_target"),
            models.Index(
                fields=("id",),
                condition=Q(notified=0) | Q(notified=1, finished_at__isnull=False),
                name="event_to_notify",
            ),
            models.Index(fields=("seq",), condition=Q(mirrored_seq__lt=F("seq")), name="event_to_mirror"),
            models.Index(fields=("finished_at",), condition=Q(finished_at__isnull=False), name="event_finished"),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.symptom} {self.target_kind} {self.target_namespace}/{self.target_name}"

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen."""
        return not is_terminal(Phase(self.phase))

    @property
    def policy_spec(self) -> PolicySpec:
        """The policy as it was when the event was opened."""
        return PolicySpec.model_validate(self.policy_snapshot)


class PhaseRunState(models.TextChoices):
    RUNNING = "running", pgettext_lazy("state of a run", "running")
    DONE = "done", pgettext_lazy("state of a run", "done")
    LATE = "late", pgettext_lazy("state of a run", "over budget")
    FAILED = "failed", pgettext_lazy("state of a run", "failed")


class PhaseRun(models.Model):
    """One stay in one phase, from the first claim to the move out of it; its clock runs against the budget."""

    event = models.ForeignKey(HealingEvent, on_delete=models.CASCADE, related_name="phase_runs")
    phase = models.CharField(max_length=20)
    number = models.PositiveIntegerField(help_text="1 for the first stay in this phase.")
    state = models.CharField(max_length=10, choices=PhaseRunState.choices, default=PhaseRunState.RUNNING)
    claims = models.PositiveIntegerField(default=1, help_text="How often a worker started on it.")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("started_at", "id")
        constraints = (models.UniqueConstraint(fields=("event", "phase", "number"), name="phase_run_unique"),)

    def __str__(self) -> str:
        return f"{self.phase} #{self.number}"


class TimelineEntry(models.Model):
    """One thing that happened. Append-only; ``seq`` is gap-free within the event."""

    event = models.ForeignKey(HealingEvent, on_delete=models.CASCADE, related_name="timeline")
    seq = models.PositiveIntegerField()
    at = models.DateTimeField()
    phase = models.CharField(max_length=20)
    kind = models.CharField(max_length=40, help_text="What happened, e.g. contained, diagnosed, approved.")
    actor_kind = models.CharField(max_length=10, choices=ActorKind.choices, default=ActorKind.SYSTEM)
    actor = models.CharField(max_length=150, blank=True)
    source = models.CharField(max_length=60, blank=True, help_text="The part that says so.")
    message = models.TextField()
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name_plural = "timeline entries"
        ordering = ("seq",)
        constraints = (models.UniqueConstraint(fields=("event", "seq"), name="timeline_seq_unique"),)

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"
