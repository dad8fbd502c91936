"""Policies as the app knows them: a mirror of the SelfHealingPolicy resources, or made in the admin."""

from __future__ import annotations

from typing import Self

import structlog
from django.db import models
from django.utils.translation import pgettext_lazy
from pydantic import ValidationError

from healing.policies.spec import PolicySpec

log = structlog.get_logger(__name__)


class Policy(models.Model):
    """One policy of one cluster. ``spec`` is camelCase JSON that `PolicySpec` accepts."""

    class Source(models.TextChoices):
        CLUSTER = "cluster", pgettext_lazy("where a policy is from", "SelfHealingPolicy resource")
        ADMIN = "admin", pgettext_lazy("where a policy is from", "made in this app")

    cluster = models.CharField(max_length=63, default="default")
    namespace = models.CharField(max_length=63, blank=True, help_text="Namespace of the resource.")
    name = models.CharField(max_length=253)
    spec = models.JSONField(default=dict)
    enabled = models.BooleanField(default=True, help_text="Off: this policy selects nothing.")
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.ADMIN)
    # What the resource said when it was last read: a spec that is refused keeps the last good one.
    uid = models.CharField(max_length=64, blank=True)
    generation = models.BigIntegerField(default=0)
    resource_version = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True, help_text="Why the newest spec was refused; empty: it was accepted.")
    managed_by = models.CharField(
        max_length=253, blank=True, help_text="The GitOps tool that owns the resource and would put changes back."
    )
    revision = models.PositiveIntegerField(default=0, help_text="Number of its newest entry in the history.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "policies"
        ordering = ("cluster", "namespace", "name")
        constraints = (models.UniqueConstraint(fields=("cluster", "namespace", "name"), name="policy_unique_name"),)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def parsed(self) -> PolicySpec:
        """The spec, checked. Raises `pydantic.ValidationError` (rows are checked when written)."""
        return PolicySpec.model_validate(self.spec)

    @classmethod
    def usable(cls, cluster: str = "") -> list[tuple[Self, PolicySpec]]:
        """The enabled policies of a cluster (``""``: of all), each with its spec. One whose spec cannot be used governs
        nothing: of a resource that was refused from the start there is none, and an earlier version of the app may have
        taken what this one refuses."""
        rows = cls.objects.filter(enabled=True).exclude(spec={})
        found = []
        for policy in rows.filter(cluster=cluster) if cluster else rows:
            try:
                found.append((policy, policy.parsed()))
            except ValidationError as error:
                log.warning("policy cannot be used", policy=str(policy), error=str(error))
        return found
