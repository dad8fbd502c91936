"""What was learned from healing events. The database is the record; Qdrant is an index that can be rebuilt."""

from __future__ import annotations

import secrets

from django.db import models


def new_ref() -> str:
    """A short, unique name of an entry; other records point to it."""
    return "ke-" + secrets.token_hex(8)


class KnowledgeEntry(models.Model):
    """One event as it is remembered. ``event_ref`` is unique: recording an event twice is one entry.

    ``strategies``: ``[{"strategy", "title", "outcome", "reason", "actions", "duration_seconds"}]`` in the order
    they were tried. ``embedding`` is little-endian float32 of length ``embedding_dims``, of unit norm; vectors of
    different models are never compared.
    """

    ref = models.CharField(max_length=64, unique=True, default=new_ref, editable=False)
    event_ref = models.CharField(max_length=63, unique=True, help_text="Name of the healing event it was made of.")
    cluster = models.CharField(max_length=63, default="default")
    namespace = models.CharField(max_length=63, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    symptom = models.CharField(max_length=63)
    cause = models.CharField(max_length=63, blank=True)
    confidence = models.FloatField(null=True, blank=True)
    target = models.JSONField(default=dict)
    topology = models.JSONField(default=dict, blank=True, help_text="What is around the target.")
    text = models.TextField(help_text="What was embedded; redacted.")
    strategies = models.JSONField(default=list, blank=True)
    outcome = models.CharField(max_length=20)
    outcome_reason = models.TextField(blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

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
        )

    def __str__(self) -> str:
        return f"{self.ref} {self.symptom} {self.cause or 'unknown cause'}: {self.outcome}"


class Trial(models.Model):
    """One strategy that was really carried out in an event: the rows statistics are counted from."""

    entry = models.ForeignKey(KnowledgeEntry, on_delete=models.CASCADE, related_name="trials")
    position = models.PositiveIntegerField()
    cluster = models.CharField(max_length=63)
    namespace = models.CharField(max_length=63, blank=True)
    cause = models.CharField(max_length=63, blank=True)
    strategy = models.CharField(max_length=80)
    succeeded = models.BooleanField()
    at = models.DateTimeField()

    class Meta:
        ordering = ("-at", "-id")
        constraints = (models.UniqueConstraint(fields=("entry", "position"), name="trial_unique_position"),)
        indexes = (models.Index(fields=("cause", "strategy", "namespace"), name="trial_statistics"),)

    def __str__(self) -> str:
        return f"{self.strategy} for {self.cause}: {'worked' if self.succeeded else 'failed'}"
