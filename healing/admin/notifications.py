"""What was told to whom, and what Alertmanager delivered: to inspect. Nothing is written here, except "send again"."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from healing.access import Capability, why_not
from healing.admin.records import ReadOnly
from healing.models import ApiToken, Delivery, DeliveryState, ReceivedAlert


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Messages of every channel; those that failed say why."""

    list_display = ("created_at", "kind", "channel_type", "state", "attempts", "event", "error", "finished_at")
    list_filter = ("state", "channel_type", "kind", "cluster")
    search_fields = ("event__name", "error", "kind")
    date_hierarchy = "created_at"
    actions: ClassVar = ["send_again"]

    @admin.action(description="Send again what failed", permissions=["view"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        if refusal := why_not(request.user, Capability.ADMIN):
            self.message_user(request, refusal, level="error")
            return
        now = timezone.now()
        count = queryset.filter(state=DeliveryState.FAILED).update(
            state=DeliveryState.QUEUED, next_attempt_at=now, created_at=now, attempts=0, finished_at=None
        )
        self.message_user(request, f"{count} message(s) will be sent again.")


@admin.register(ReceivedAlert)
class ReceivedAlertAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Alerts and what came of each."""

    list_display = ("last_received_at", "name", "cluster", "is_firing", "state", "reason", "event", "deliveries")
    list_filter = ("state", "is_firing", "cluster", "name")
    search_fields = ("name", "fingerprint", "reason", "event__name")
    date_hierarchy = "last_received_at"


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Everybody's tokens; they are made and revoked on the page API tokens."""

    list_display = ("name", "owner", "hint", "scopes", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("owner",)
    search_fields = ("name", "owner__username")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not why_not(request.user, Capability.ADMIN)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in super().get_fields(request, obj) if name != "digest"]
