"""What people have stopped, and what they have let go on: the kill switch, and resets of circuit breakers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Halt(models.Model):
    """While it is not lifted, nothing is done in the cluster (``""``: in any): not even what is queued or approved.

    What was done before can still be put back."""

    cluster = models.CharField(max_length=63, blank=True, help_text="Empty: everywhere.")
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.UniqueConstraint(
                fields=("cluster",), condition=Q(lifted_at__isnull=True), name="halt_one_per_cluster"
            ),
        )

    def __str__(self) -> str:
        return f"{self.cluster or 'everywhere'}: {self.reason}"


class CircuitReset(models.Model):
    """A person has looked at a workload whose healings had failed: those before ``at`` do not count any more."""

    cluster = models.CharField(max_length=63)
    kind = models.CharField(max_length=63)
    namespace = models.CharField(max_length=63, blank=True)
    name = models.CharField(max_length=253)
    at = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("-at",)
        indexes = (models.Index(fields=("cluster", "namespace", "kind", "name"), name="circuit_reset_of"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
