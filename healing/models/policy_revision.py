"""The history of policies: what each looked like after every change, who made it and where."""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy

from healing.models.policy import Policy


class PolicyRevision(models.Model):
    """One state of a policy. Append-only; ``number`` has no gaps within a policy."""

    class Kind(models.TextChoices):
        CREATED = "created", pgettext_lazy("change of a policy", "created")
        CHANGED = "changed", pgettext_lazy("change of a policy", "changed")
        REFUSED = (
            "refused",
            pgettext_lazy("change of a policy", "refused"),
        )  # the resource's spec is no good: the last good one stays in force
        RESTORED = "restored", pgettext_lazy("change of a policy", "restored")
        DELETED = "deleted", pgettext_lazy("change of a policy", "deleted")

    class Origin(models.TextChoices):
        APP = "app", pgettext_lazy("where a policy was changed", "here")
        CLUSTER = "cluster", pgettext_lazy("where a policy was changed", "in the cluster")

    policy = models.ForeignKey(Policy, null=True, on_delete=models.SET_NULL, related_name="revisions")
    cluster = models.CharField(max_length=63)
    namespace = models.CharField(max_length=63, blank=True)
    name = models.CharField(max_length=253)
    number = models.PositiveIntegerField()
    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    origin = models.CharField(max_length=10, choices=Origin.choices)
    actor = models.CharField(max_length=253, help_text="The person here, or the resource's field manager.")
    note = models.TextField(blank=True)
    spec = models.JSONField(default=dict, help_text="What was in force from then on.")
    enabled = models.BooleanField(default=True)
    error = models.TextField(blank=True)
    #: [{"field", "before", "after"}]
    changes = models.JSONField(default=list)
    uid = models.CharField(max_length=64, blank=True)
    generation = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("policy", "number"), name="policy_revision_unique"),)
        indexes = (models.Index(fields=("cluster", "namespace", "name", "-at"), name="policy_revision_of"),)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} #{self.number}" if self.namespace else f"{self.name} #{self.number}"
