"""What objects looked like while all was well: the only way to restore what somebody changed or deleted.

Secrets are never kept."""

from __future__ import annotations

from django.db import models

from healing.models.sealed import SealedJSONField


class KnownState(models.Model):
    """One object's content over a stretch of time; a few generations are kept of each."""

    cluster = models.CharField(max_length=63)
    kind = models.CharField(max_length=63)
    namespace = models.CharField(max_length=63)
    name = models.CharField(max_length=253)
    uid = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the state.")
    state = SealedJSONField(default=dict, help_text="The manifest, without status and what the API server fills in.")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ("-last_seen_at",)
        constraints = (models.UniqueConstraint(fields=("cluster", "uid", "digest"), name="known_state_once"),)
        indexes = (
            models.Index(fields=("cluster", "namespace", "kind", "name"), name="known_state_of"),
            models.Index(fields=("last_seen_at",), name="known_state_age"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name} {self.digest[:8]}"
