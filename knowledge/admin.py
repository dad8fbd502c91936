"""The memory in the admin site: to read, not to write."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from knowledge.models import KnowledgeEntry, Trial


class TrialInline(TabularInline):  # type: ignore[misc]  # unfold has no types
    model = Trial
    extra = 0
    can_delete = False
    fields = ("position", "strategy", "succeeded", "at")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(KnowledgeEntry)
class KnowledgeEntryAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    list_display = ("ref", "symptom", "cause", "namespace", "outcome", "occurred_at", "indexed_at")
    list_filter = ("outcome", "cause", "namespace", "embedding_model")
    search_fields = ("ref", "event_ref", "symptom", "cause", "text")
    date_hierarchy = "occurred_at"
    inlines = (TrialInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False  # notes are removed on their page, which writes down who did it
