"""Tokens that scripts call the API with. The text itself is nowhere: only its hash is kept."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import pgettext_lazy


class Scope(models.TextChoices):
    """What a token may be used for; never more than its owner may."""

    READ = "read", pgettext_lazy("what a token is for", "read everything its owner may see")
    OPERATE = "operate", pgettext_lazy("what a token is for", "report faults, hold, take over, halt")
    DECIDE = "decide", pgettext_lazy("what a token is for", "approve, reject and override")
    ADMIN = "admin", pgettext_lazy("what a token is for", "change policies, roles and tokens")
    WEBHOOKS = "webhooks", pgettext_lazy("what a token is for", "deliver alerts of Alertmanager")


class ApiToken(models.Model):
    """``digest`` is the SHA-256 of the whole token; ``hint`` its first characters, to tell tokens apart."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=16, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    #: to the minute
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.CharField(max_length=45, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name = "API token"
        verbose_name_plural = "API tokens"
        ordering = ("-created_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("owner", "name"), condition=Q(revoked_at__isnull=True), name="api_token_one_of_a_name"
            ),
        )

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    def is_usable(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)
