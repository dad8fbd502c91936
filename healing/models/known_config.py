"""What ConfigMaps held: the only way to restore a key that somebody took away. Secrets are never kept."""

from __future__ import annotations

from django.db import models


class KnownConfig(models.Model):
    """The contents of one ConfigMap at one time; a few generations are kept of each."""

    cluster = models.CharField(max_length=63)
    namespace = models.CharField(max_length=63)
    name = models.CharField(max_length=253)
    uid = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the contents.")
    data = models.JSONField(default=dict)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("-seen_at",)
        constraints = (models.UniqueConstraint(fields=("uid", "digest"), name="known_config_once"),)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} {self.digest[:8]}"
