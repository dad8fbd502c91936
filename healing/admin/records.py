"""Events and what belongs to them, to inspect. Only the engine writes them."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline

from healing.models import ActionRun, Approval, HealingEvent, Isolation, PhaseRun, Strategy, TimelineEntry


class ReadOnly:
    """Nothing can be added, changed or deleted here, by nobody."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class TimelineInline(ReadOnly, TabularInline):  # type: ignore[misc]  # unfold has no types
    """The event's timeline."""

    model = TimelineEntry
    extra = 0
    tab = True
    fields = ("seq", "at", "phase", "kind", "actor_kind", "actor", "message")


class PhaseRunInline(ReadOnly, TabularInline):  # type: ignore[misc]  # unfold has no types
    """The event's stays in phases."""

    model = PhaseRun
    extra = 0
    tab = True
    fields = ("phase", "number", "state", "claims", "started_at", "finished_at", "error")


@admin.register(HealingEvent)
class HealingEventAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Events with everything in their row."""

    list_display = ("name", "target", "symptom", "cause", "phase", "outcome", "detected_at", "finished_at")
    list_filter = ("phase", "outcome", "target_namespace", "severity", "source")
    search_fields = ("name", "target_name", "symptom", "cause", "message")
    date_hierarchy = "detected_at"
    inlines = (TimelineInline, PhaseRunInline)
    readonly_fields = ("page",)

    @admin.display(description="target")
    def target(self, event: HealingEvent) -> str:
        where = f"{event.target_namespace}/" if event.target_namespace else ""
        return f"{event.target_kind} {where}{event.target_name}"

    @admin.display(description="page")
    def page(self, event: HealingEvent) -> SafeString:
        return format_html('<a href="{}">Open on the dashboard</a>', reverse("dashboard:event", args=[event.name]))


@admin.register(Approval)
class ApprovalAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Decisions and who took them."""

    list_display = ("event", "strategy", "risk", "state", "decided_by_name", "created_at", "decided_at")
    list_filter = ("state", "risk")
    search_fields = ("event__name", "decided_by_name", "comment")
    date_hierarchy = "created_at"


@admin.register(Strategy)
class StrategyAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Strategies with plans and arguments."""

    list_display = ("event", "attempt", "title", "origin", "risk", "score", "state")
    list_filter = ("state", "risk", "origin", "key")
    search_fields = ("event__name", "title", "key")


@admin.register(ActionRun)
class ActionRunAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Everything that was done to a cluster."""

    list_display = ("event", "action", "state", "created_at", "applied_at", "undone_at")
    list_filter = ("state", "action")
    search_fields = ("event__name", "key")
    date_hierarchy = "created_at"


@admin.register(TimelineEntry)
class TimelineEntryAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """What happened, across events."""

    list_display = ("event", "seq", "at", "phase", "kind", "actor_kind", "actor", "message")
    list_filter = ("kind", "actor_kind", "phase")
    search_fields = ("event__name", "message", "actor")
    date_hierarchy = "at"


@admin.register(Isolation)
class IsolationAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Pods that are, or were, kept from traffic."""

    list_display = ("namespace", "pod_name", "mode", "created_at", "expires_at", "released_at")
    list_filter = ("mode", "namespace")
