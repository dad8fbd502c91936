"""A pod that is kept from traffic, and until when."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import pgettext_lazy

from healing.models.event import HealingEvent


class Isolation(models.Model):
    """``policy_name`` is the NetworkPolicy that selects ``label`` on the pod; lifted by ``expires_at``."""

    class Mode(models.TextChoices):
        SOFT = "soft", pgettext_lazy("how a pod is isolated", "no traffic to it")
        HARD = "hard", pgettext_lazy("how a pod is isolated", "nothing but DNS")

    class Enforcement(models.TextChoices):
        """Whether the cluster's network gives effect to the NetworkPolicy."""

        YES = "enforced", pgettext_lazy("whether isolation works", "NetworkPolicies are enforced")
        NO = "notEnforced", pgettext_lazy("whether isolation works", "NetworkPolicies have no effect")
        UNKNOWN = "unknown", pgettext_lazy("whether isolation works", "not known whether NetworkPolicies are enforced")

    event = models.ForeignKey(HealingEvent, on_delete=models.CASCADE, related_name="isolations")
    cluster = models.CharField(max_length=63)
    namespace = models.CharField(max_length=63)
    pod_name = models.CharField(max_length=253)
    pod_uid = models.CharField(max_length=64)
    mode = models.CharField(max_length=4, choices=Mode.choices)
    policy_name = models.CharField(max_length=253)
    label = models.CharField(max_length=253)
    enforcement = models.CharField(max_length=12, choices=Enforcement.choices, default=Enforcement.UNKNOWN)
    network = models.CharField(max_length=500, blank=True, help_text="What was found out about the network, in words.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True, blank=True)
    release_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.UniqueConstraint(
                fields=("cluster", "pod_uid"), condition=Q(released_at__isnull=True), name="isolation_one_per_pod"
            ),
        )

    def __str__(self) -> str:
        return f"{self.mode} {self.namespace}/{self.pod_name}"
