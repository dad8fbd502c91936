"""Who may do what, and where: a role for a person or a group, everywhere or in one cluster or namespace."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import pgettext_lazy


class Role(models.TextChoices):
    """From little to much: who has one may do what the ones before it may."""

    VIEWER = "viewer", pgettext_lazy("role", "viewer")
    OPERATOR = "operator", pgettext_lazy("role", "operator")
    APPROVER = "approver", pgettext_lazy("role", "approver")
    ADMIN = "admin", pgettext_lazy("role", "admin")

    @property
    def rank(self) -> int:
        """0 for the least."""
        return list(Role).index(self)


class RoleBinding(models.Model):
    """Gives ``role`` to one person or one group. Empty ``cluster`` or ``namespace``: any."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="role_bindings",
        verbose_name="person",
    )
    group = models.ForeignKey(
        "auth.Group", null=True, blank=True, on_delete=models.CASCADE, related_name="role_bindings"
    )
    role = models.CharField(max_length=10, choices=Role.choices)
    cluster = models.CharField(max_length=63, blank=True, help_text="Empty: any cluster.")
    namespace = models.CharField(
        max_length=63, blank=True, help_text="Empty: any namespace, and what is in none (nodes, for example)."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True, editable=False)

    class Meta:
        ordering = ("cluster", "namespace", "role", "id")
        constraints = (
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True) | Q(user__isnull=True, group__isnull=False),
                name="role_binding_one_subject",
                violation_error_message="Choose a person or a group: one of them, not both.",
            ),
            models.UniqueConstraint(
                fields=("user", "cluster", "namespace"),
                condition=Q(user__isnull=False),
                name="role_binding_one_per_person",
                violation_error_message="This person has a role there already: change that one.",
            ),
            models.UniqueConstraint(
                fields=("group", "cluster", "namespace"),
                condition=Q(group__isnull=False),
                name="role_binding_one_per_group",
                violation_error_message="This group has a role there already: change that one.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.subject}: {self.role} {self.where}"

    @property
    def subject(self) -> str:
        """Who gets the role."""
        return str(self.user) if self.user_id else f"group {self.group}"

    @property
    def where(self) -> str:
        """In which part of the world, in words."""
        if self.cluster and self.namespace:
            return f"in namespace {self.namespace} of cluster {self.cluster}"
        if self.namespace:
            return f"in namespace {self.namespace}"
        return f"in cluster {self.cluster}" if self.cluster else "everywhere"
