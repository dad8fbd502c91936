"""The kill switch and the circuit breakers, for those who may. Rows are never deleted: they say who did it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from healing.access import Capability, why_not, why_not_anywhere
from healing.approvals import halting
from healing.audit import Actor, record
from healing.models import CircuitReset, Halt


@admin.register(Halt)
class HaltAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Adding a row halts; the action lifts."""

    list_display = ("cluster", "reason", "created_by", "created_at", "lifted_at", "lifted_by")
    list_filter = ("cluster",)
    fields = ("cluster", "reason")
    actions: ClassVar = ["lift"]

    def save_model(self, request: HttpRequest, obj: Halt, form: ModelForm[Halt], change: bool) -> None:  # noqa: FBT001
        halting.halt(obj, by=request.user.get_username(), actor=Actor.of_request(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return not why_not_anywhere(request.user, Capability.OPERATE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if why_not_anywhere(request.user, Capability.ADMIN):
            return False
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Lift: automation goes on", permissions=["change"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Halt]) -> None:
        count = 0
        for halt in queryset.filter(lifted_at=None):
            if refusal := why_not(request.user, Capability.ADMIN, cluster=halt.cluster):
                self.message_user(request, refusal, messages.ERROR)
                continue
            count += halting.lift(halt, by=request.user.get_username(), actor=Actor.of_request(request))
        self.message_user(request, f"{count} halt(s) lifted.")


@admin.register(CircuitReset)
class CircuitResetAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Adding a row resets the breaker of that workload."""

    list_display = ("cluster", "kind", "namespace", "name", "at", "by")
    fields = ("cluster", "kind", "namespace", "name")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"cluster": settings.CLUSTER_NAME, "kind": "Deployment", **super().get_changeform_initial_data(request)}

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's
        """It refuses places where the person is no admin."""
        base = super().get_form(request, obj, change, **kwargs)

        def clean(form: Any) -> Any:
            data = base.clean(form)
            place = {name: form.cleaned_data.get(name, "") for name in ("cluster", "namespace")}
            if refusal := why_not(request.user, Capability.ADMIN, **place):
                raise ValidationError(refusal)
            return data

        return type(base)(base.__name__, (base,), {"clean": clean})

    def save_model(
        self,
        request: HttpRequest,
        obj: CircuitReset,
        form: ModelForm[CircuitReset],
        change: bool,  # noqa: FBT001
    ) -> None:
        obj.by = request.user.get_username()
        super().save_model(request, obj, form, change)
        actor = Actor.of_request(request)
        record("circuit.reset", actor=actor, target=str(obj), cluster=obj.cluster, namespace=obj.namespace)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return not why_not_anywhere(request.user, Capability.ADMIN)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
