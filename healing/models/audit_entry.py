"""What was done, by whom: append-only, each entry sealed with the hash of the one before."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models
from django.utils.translation import pgettext_lazy


class AppendOnly(Exception):
    """An audit entry cannot be changed or removed."""


class AuditActorKind(models.TextChoices):
    """Who did it."""

    PERSON = "person", pgettext_lazy("who did it", "person")
    TOKEN = "token", pgettext_lazy("who did it", "API token")
    SYSTEM = "system", "ReCiSt"
    RULE = "rule", pgettext_lazy("who did it", "rule")


class AuditEntries(models.QuerySet["AuditEntry"]):
    """Reads; refuses every way to change rows."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Audit entries cannot be changed.")

    def delete(self) -> NoReturn:
        raise AppendOnly("Audit entries cannot be deleted.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Audit entries cannot be changed.")

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Write audit entries with healing.audit.record: it seals each with the one before.")


class AuditEntry(models.Model):
    """Written by `healing.audit.record` only. ``seq`` has no gaps; ``hash`` covers all fields and the hash before."""

    seq = models.BigIntegerField(unique=True, editable=False)
    at = models.DateTimeField()
    action = models.CharField(max_length=60, help_text="Dotted, past tense, e.g. approval.approved.")
    actor_kind = models.CharField(max_length=10, choices=AuditActorKind.choices)
    actor = models.CharField(max_length=150)
    #: no foreign key: the entry outlives the person's row
    actor_id = models.BigIntegerField(null=True, blank=True)
    address = models.CharField(max_length=45, blank=True, help_text="Where the request came from.")
    target = models.CharField(max_length=320, blank=True, help_text="What it was done to.")
    cluster = models.CharField(max_length=63, blank=True)
    namespace = models.CharField(max_length=63, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    data = models.JSONField(default=dict, blank=True)
    previous_hash = models.CharField(max_length=64, unique=True, editable=False)
    hash = models.CharField(max_length=64, unique=True, editable=False)

    objects = AuditEntries.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ("-seq",)
        indexes = (
            models.Index(fields=("action", "-seq"), name="audit_action"),
            models.Index(fields=("actor", "-seq"), name="audit_actor"),
            models.Index(fields=("-at",), name="audit_newest"),
        )

    def __str__(self) -> str:
        return f"{self.seq} {self.action} by {self.actor}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly("Audit entries cannot be changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Audit entries cannot be deleted.")
