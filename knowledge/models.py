"""What was learned from healing events. The database is the record; Qdrant is an index that can be rebuilt."""

from __future__ import annotations

import secrets

from django.db import models
from django.utils.translation import pgettext_lazy


def new_ref() -> str:
    """A short, unique name of an entry; other records point to it."""
    return "ke-" + secrets.token_hex(8)


class EntryKind(models.TextChoices):
    EVENT = "event", pgettext_lazy("kind of memory", "event")
    NOTE = "note", pgettext_lazy("kind of memory", "runbook note")  # written by a person, found by recall like an event


class Topic(models.Model):
    """A kind of fault: entries whose texts are alike. ``centroid`` is of unit norm, float32, little-endian.

    A name that a person gave stays when topics are computed anew: a new centroid takes over the nearest old topic.
    """

    name = models.CharField(max_length=120)
    named_by = models.CharField(max_length=150, blank=True, help_text="Empty: the name is computed.")
    named_at = models.DateTimeField(null=True, blank=True)
    centroid = models.BinaryField(editable=False)
    embedding_model = models.CharField(max_length=80)
    embedding_dims = models.PositiveIntegerField()
    size = models.PositiveIntegerField(default=0, help_text="Entries in it.")
    #: where the map draws it, -1..1
    x = models.FloatField(default=0.0)
    y = models.FloatField(default=0.0)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ("-size", "id")

    def __str__(self) -> str:
        return self.name


class KnowledgeEntry(models.Model):
    """One event as it is remembered, or a note. ``event_ref`` is unique: recording an event twice is one entry.

    ``strategies``: ``[{"strategy", "title", "outcome", "reason", "actions", "duration_seconds"}]`` in the order
    they were tried. ``embedding`` is little-endian float32 of length ``embedding_dims``, of unit norm; vectors of
    different models are never compared. An entry ``merged_into`` another one is its near-duplicate: it stays on record
    and its trials count, but recall shows the other one.
    """

    ref = models.CharField(max_length=64, unique=True, default=new_ref, editable=False)
    kind = models.CharField(max_length=10, choices=EntryKind.choices, default=EntryKind.EVENT)
    event_ref = models.CharField(max_length=63, unique=True, help_text="Name of the healing event it was made of.")
    cluster = models.CharField(max_length=63, default="default", blank=True)
    namespace = models.CharField(max_length=63, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    symptom = models.CharField(max_length=63, blank=True)
    cause = models.CharField(max_length=63, blank=True, help_text="As diagnosed.")
    corrected_cause = models.CharField(max_length=63, blank=True, help_text="What a person says it really was.")
    confidence = models.FloatField(null=True, blank=True)
    target = models.JSONField(default=dict, blank=True)
    topology = models.JSONField(default=dict, blank=True, help_text="What is around the target.")
    title = models.CharField(max_length=200, blank=True, help_text="Of a note.")
    text = models.TextField(help_text="What was embedded; redacted.")
    strategies = models.JSONField(default=list, blank=True)
    person_changed = models.TextField(blank=True, help_text="What a person decided differently.")
    outcome = models.CharField(max_length=20, blank=True)
    outcome_reason = models.TextField(blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    version = models.PositiveIntegerField(default=1, help_text="Rises with every change a person makes.")
    author = models.CharField(max_length=150, blank=True, help_text="Of a note.")
    pinned = models.BooleanField(default=False, help_text="Never expires.")
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    imported_from = models.CharField(max_length=120, blank=True, help_text="The installation it came from.")
    #: ``[{"kind", "text"}]``: why a person should look at it; what is flagged weighs less
    flags = models.JSONField(default=list, blank=True)
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="merged", db_index=True
    )
    occurrences = models.PositiveIntegerField(default=1, help_text="This one and those merged into it.")
    last_seen_at = models.DateTimeField(null=True, blank=True, help_text="When the newest of them happened.")
    topic = models.ForeignKey(Topic, null=True, blank=True, on_delete=models.SET_NULL, related_name="entries")

    embedding = models.BinaryField(null=True, blank=True, editable=False)
    embedding_model = models.CharField(max_length=80, blank=True)
    embedding_dims = models.PositiveIntegerField(default=0)
    indexed_at = models.DateTimeField(null=True, blank=True, help_text="When Qdrant took it; empty: it is queued.")

    class Meta:
        verbose_name_plural = "knowledge entries"
        ordering = ("-occurred_at", "-id")
        indexes = (
            models.Index(fields=("indexed_at", "id"), name="knowledge_queue"),
            models.Index(fields=("cause", "namespace"), name="knowledge_cause"),
            models.Index(fields=("embedding_model", "embedding_dims"), name="knowledge_model"),
            models.Index(fields=("cluster", "namespace", "-occurred_at"), name="knowledge_local"),
            models.Index(fields=("fingerprint",), name="knowledge_fingerprint"),
        )

    def __str__(self) -> str:
        return f"{self.ref} {self.title or self.symptom} {self.named_cause or 'unknown cause'}: {self.outcome}"

    @property
    def named_cause(self) -> str:
        """The cause as a person corrected it, else as it was diagnosed."""
        return self.corrected_cause or self.cause

    @property
    def workload(self) -> str:
        """``Kind/name`` of the target, or nothing."""
        name = self.target.get("name")
        return f"{self.target.get('kind', '')}/{name}" if name else ""


class Trial(models.Model):
    """One strategy that was really carried out in an event: the rows statistics are counted from.

    ``cause`` follows a person's correction; ``judged`` is what a person says of the fix, empty where nobody has.
    """

    entry = models.ForeignKey(KnowledgeEntry, on_delete=models.CASCADE, related_name="trials")
    position = models.PositiveIntegerField()
    cluster = models.CharField(max_length=63)
    namespace = models.CharField(max_length=63, blank=True)
    workload = models.CharField(max_length=320, blank=True)
    cause = models.CharField(max_length=63, blank=True)
    strategy = models.CharField(max_length=80)
    succeeded = models.BooleanField()
    judged = models.BooleanField(null=True, blank=True)
    #: 0..1, less where the entry is flagged or corrected
    weight = models.FloatField(default=1.0)
    is_imported = models.BooleanField(default=False)
    at = models.DateTimeField()

    class Meta:
        ordering = ("-at", "-id")
        constraints = (models.UniqueConstraint(fields=("entry", "position"), name="trial_unique_position"),)
        indexes = (
            models.Index(fields=("cause", "strategy", "namespace"), name="trial_statistics"),
            models.Index(fields=("cause", "-at"), name="trial_newest"),
        )

    def __str__(self) -> str:
        return f"{self.strategy} for {self.cause}: {'worked' if self.worked else 'failed'}"

    @property
    def worked(self) -> bool:
        """What a person says, else what was verified."""
        return self.succeeded if self.judged is None else self.judged


class Lesson(models.Model):
    """What a person said about an entry. Append-only; the newest of each person on each question counts."""

    entry = models.ForeignKey(KnowledgeEntry, on_delete=models.CASCADE, related_name="lessons")
    about = models.CharField(
        max_length=10,
        choices=[
            ("cause", pgettext_lazy("what a person judged", "root cause")),
            ("fix", pgettext_lazy("what a person judged", "fix")),
        ],
    )
    is_right = models.BooleanField()
    corrected_cause = models.CharField(max_length=63, blank=True)
    note = models.TextField(blank=True)
    by = models.CharField(max_length=150)
    user_id = models.BigIntegerField(null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("at", "id")

    def __str__(self) -> str:
        return f"{self.by}: {self.about} {'right' if self.is_right else 'wrong'}"


class Use(models.Model):
    """An entry was recalled for an event. Unique: a phase that runs again counts once."""

    entry = models.ForeignKey(KnowledgeEntry, on_delete=models.CASCADE, related_name="uses")
    event_ref = models.CharField(max_length=63)
    similarity = models.FloatField(default=0.0)
    effect = models.TextField(blank=True, help_text="What it changed, in a sentence.")
    at = models.DateTimeField()

    class Meta:
        ordering = ("-at", "-id")
        constraints = (models.UniqueConstraint(fields=("entry", "event_ref"), name="use_unique_event"),)
        indexes = (models.Index(fields=("event_ref",), name="use_event"),)

    def __str__(self) -> str:
        return f"{self.entry_id} for {self.event_ref}"


class Notice(models.Model):
    """Something about the memory that a person should know. ``key`` keeps it from being said twice."""

    key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(
        max_length=20,
        choices=[
            ("new-kind", pgettext_lazy("kind of notice", "new kind of fault")),
            ("fix-stopped", pgettext_lazy("kind of notice", "fix stopped working")),
            ("conflict", pgettext_lazy("kind of notice", "conflict")),
        ],
    )
    text = models.TextField()
    data = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField()
    dismissed_by = models.CharField(max_length=150, blank=True)
    dismissed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-at", "-id")

    def __str__(self) -> str:
        return self.text


class Postmortem(models.Model):
    """An event's postmortem as a person has edited it (Markdown). Without a row it is computed from the event."""

    event_ref = models.CharField(max_length=63, unique=True)
    markdown = models.TextField()
    version = models.PositiveIntegerField(default=1)
    edited_by = models.CharField(max_length=150)
    edited_at = models.DateTimeField()

    class Meta:
        ordering = ("-edited_at",)

    def __str__(self) -> str:
        return f"postmortem of {self.event_ref}"


class RebuildState(models.Model):
    """How far `manage.py rebuild_memory` has come; one row."""

    model = models.CharField(max_length=80)
    dims = models.PositiveIntegerField()
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.done} of {self.total} for {self.model}"
