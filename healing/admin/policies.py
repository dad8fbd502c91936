"""Policies to edit, in a form made from the schema; those of the cluster to read, with the reason why."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from pydantic import ValidationError as SpecError
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from healing.admin.spec_fields import SEPARATOR, form_fields, place_of, to_data, to_initial
from healing.dashboard.policy_view import groups_of, title_of
from healing.models import Policy
from healing.policies.spec import PolicySpec

_FIELDS = form_fields(PolicySpec)


class PolicyFormBase(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """The row's own columns, plus one field for every value of the spec."""

    class Meta:
        model = Policy
        fields = ("name", "namespace", "enabled")
        widgets: ClassVar = {
            "name": UnfoldAdminTextInputWidget,
            "namespace": UnfoldAdminTextInputWidget,
            "enabled": UnfoldBooleanSwitchWidget,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in _initial(self.instance).items():
            self.initial.setdefault(name, value)
        if "cluster" in self.fields:
            self.fields["cluster"] = forms.ChoiceField(
                choices=[(name, name) for name in settings.CLUSTERS],
                initial=settings.CLUSTER_NAME,
                widget=UnfoldAdminSelectWidget,
            )
            self.initial["cluster"] = settings.CLUSTER_NAME

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if any(name in _FIELDS for name in self.errors):
            return cleaned  # a field is no number or no choice: the schema could only repeat that
        try:
            self.instance.spec = PolicySpec.model_validate(to_data(PolicySpec, cleaned)).as_json()
        except SpecError as error:
            for detail in error.errors(include_url=False):
                message = str(detail["msg"]).removeprefix("Value error, ")
                place = place_of(PolicySpec, detail["loc"])
                self.add_error(place, ValidationError(_with_item(message, place, detail)))
        self._check_name(cleaned)
        return cleaned

    def _check_name(self, cleaned: dict[str, Any]) -> None:
        """The database's rule, said in words: the form may lack the column `cluster`; then Django does not check it."""
        cluster = cleaned.get("cluster") or (self.instance.cluster if self.instance.pk else settings.CLUSTER_NAME)
        same = Policy.objects.filter(
            cluster=cluster, namespace=cleaned.get("namespace", ""), name=cleaned.get("name", "")
        )
        if same.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "There is a policy of that name in that namespace already.")

    def save(self, commit: bool = True) -> Policy:  # noqa: FBT001, FBT002 - Django's signature
        self.instance.error = ""
        saved: Policy = super().save(commit)
        return saved


def _initial(policy: Policy) -> dict[str, Any]:
    try:
        spec = policy.parsed()
    except SpecError:
        # A new policy, or one whose spec cannot be used: defaults, with nothing in scope.
        spec = PolicySpec.model_construct(target_namespaces=[])
    return to_initial(spec)


def _with_item(message: str, place: str | None, detail: Any) -> str:
    """For a list the schema names the item's number; people want to see the item."""
    if place and len(detail["loc"]) > len(place.split(SEPARATOR)):
        return f"{detail['input']!r}: {message}"
    return message


PolicyForm = type("PolicyForm", (PolicyFormBase,), dict(_FIELDS))


def _fieldsets(*, with_cluster: bool) -> tuple[tuple[str | None, dict[str, Any]], ...]:
    groups: dict[str, list[str]] = {}
    for name in _FIELDS:
        group, _, rest = name.rpartition(SEPARATOR)
        groups.setdefault(group, []).append(name)
        assert rest
    where = ["cluster"] if with_cluster else []
    scope = ("Policy", {"fields": [*where, "name", "namespace", "enabled", *groups.pop("")]})
    return scope, *((title_of(group), {"fields": names, "classes": ["tab"]}) for group, names in groups.items())


@admin.register(Policy)
class PolicyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """What may be healed, how, and who must agree."""

    form = PolicyForm
    list_display = ("__str__", "covers", "autonomy", "enabled", "source", "updated_at")
    list_filter = ("source", "enabled")
    search_fields = ("name", "namespace", "cluster")
    warn_unsaved_form = True

    def get_list_display(self, request: HttpRequest) -> Any:
        return (*self.list_display, "cluster") if len(settings.CLUSTERS) > 1 else self.list_display

    def get_fieldsets(self, request: HttpRequest, obj: Policy | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return ((None, {"fields": ("read_only_because", "name", "namespace", "enabled", "error", "in_words")}),)
        return _fieldsets(with_cluster=obj is None and len(settings.CLUSTERS) > 1)

    def get_readonly_fields(self, request: HttpRequest, obj: Policy | None = None) -> Any:
        return (
            ("read_only_because", "in_words")
            if obj is not None and not self.has_change_permission(request, obj)
            else ()
        )

    def has_change_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and not _is_clusters(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and not _is_clusters(obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """No bulk deletion: it would not ask `has_delete_permission` for each policy."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def save_model(self, request: HttpRequest, obj: Policy, form: Any, change: bool) -> None:  # noqa: FBT001
        if not change:
            obj.source = Policy.Source.ADMIN
            obj.cluster = form.cleaned_data.get("cluster") or settings.CLUSTER_NAME
        super().save_model(request, obj, form, change)

    @admin.display(description="why it cannot be changed here")
    def read_only_because(self, policy: Policy) -> str:
        if not _is_clusters(policy):
            return "You may look at policies, not change them."
        where = f" -n {policy.namespace}" if policy.namespace else ""
        return (
            "This policy mirrors a SelfHealingPolicy resource, which would win over a change made here. "
            f"Change it there: kubectl edit shp {policy.name}{where}"
        )

    @admin.display(description="spec")
    def in_words(self, policy: Policy) -> SafeString | str:
        try:
            spec = policy.parsed()
        except SpecError as error:
            return f"The stored spec cannot be used: {error.error_count()} errors."
        return render_to_string("admin/policy_in_words.html", {"groups": groups_of(spec)})

    @admin.display(description="covers")
    def covers(self, policy: Policy) -> str:
        return ", ".join(policy.spec.get("targetNamespaces") or []) or "nothing"

    @admin.display(description="autonomy")
    def autonomy(self, policy: Policy) -> str:
        return str(policy.spec.get("autonomy", "heal"))


def _is_clusters(policy: Policy | None) -> bool:
    return policy is not None and policy.source == Policy.Source.CLUSTER
