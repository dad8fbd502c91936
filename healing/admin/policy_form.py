"""The form of a policy, made from the schema: grouped, with units and limits; errors next to their fields."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from pydantic import BaseModel, ValidationError as SpecError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from healing.admin.spec_fields import SEPARATOR, form_fields, place_of, to_data, to_initial
from healing.dashboard.policy_view import title_of
from healing.models import Policy
from healing.policies.spec import PolicySpec

FIELDS = form_fields(PolicySpec)

#: Fields that are in no section of the schema, as people look for them.
_GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("What it covers", "Workloads in these namespaces with these labels.", ("target_namespaces", "target_labels")),
    ("What it may do", "", ("autonomy", "allowed_actions", "paused")),
    (
        "Diagnosis and decision",
        "When a cause is sure enough, and a strategy good enough, to act on.",
        ("confidence_threshold", "decision_threshold", "max_reasoning_depth", "max_micro_agents",
         "action_timeout_seconds", "log_lookback_minutes", "max_log_lines"),
    ),
    (
        "Memory",
        "What is remembered of healings, and for how long.",
        ("knowledge_ttl_days", "similarity_threshold", "max_local_events", "embedding_dimensions"),
    ),
)  # fmt: skip
_ALWAYS_SHOWN = 2


class PolicyFormBase(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """The row's own columns, plus one field for every value of the spec."""

    #: the state that was looked at: who saves is told if somebody else was faster
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

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
        self.spec: PolicySpec | None = None
        for name, value in initial_of(self.instance).items():
            self.initial.setdefault(name, value)
        self.initial.setdefault("revision", self.instance.revision)
        for name in ("name", "namespace"):
            if self.instance.pk and name in self.fields:
                self.fields[name].disabled = True
                self.fields[name].help_text = "Cannot be changed: make another policy instead."
        if not self.instance.pk and "namespace" in self.fields:
            self.fields[
                "namespace"
            ].help_text = (
                "Where its SelfHealingPolicy resource is kept. Empty: the policy stays in this app, without a resource."
            )
        if "enabled" in self.fields:
            self.fields[
                "enabled"
            ].help_text = (
                "Off: this policy selects nothing. This switch is the app's own; the resource has spec.paused."
            )
        if "cluster" in self.fields:
            self.fields["cluster"] = forms.ChoiceField(
                choices=[(name, name) for name in settings.CLUSTERS],
                initial=settings.CLUSTER_NAME,
                widget=UnfoldAdminSelectWidget,
            )
            self.initial["cluster"] = settings.CLUSTER_NAME

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not any(name in FIELDS for name in self.errors):  # else the schema could only repeat what is wrong
            self._check_spec(cleaned)
        self._check_name(cleaned)
        return cleaned

    def _check_spec(self, cleaned: dict[str, Any]) -> None:
        data = to_data(PolicySpec, cleaned)
        if "autonomy" not in self.changed_data and "autonomy" not in (self.instance.spec or {}):
            data.pop("autonomy", None)  # shown, but chosen by nobody: a cluster's first day is for watching
        try:
            self.spec = PolicySpec.model_validate(data)
        except SpecError as error:
            for detail in error.errors(include_url=False):
                message = str(detail["msg"]).removeprefix("Value error, ")
                place = place_of(PolicySpec, detail["loc"])
                self.add_error(place, ValidationError(_with_item(message, place, detail)))

    def _check_name(self, cleaned: dict[str, Any]) -> None:
        """The database's rule, said in words: the form may lack the column `cluster`; then Django does not check it."""
        cluster = cleaned.get("cluster") or (self.instance.cluster if self.instance.pk else settings.CLUSTER_NAME)
        same = Policy.objects.filter(
            cluster=cluster, namespace=cleaned.get("namespace", ""), name=cleaned.get("name", "")
        )
        if same.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "There is a policy of that name in that namespace already.")


def initial_of(policy: Policy) -> dict[str, Any]:
    """The spec's values as the form shows them; of a spec that cannot be used: defaults, with nothing in scope."""
    try:
        spec = policy.parsed()
    except SpecError:
        spec = PolicySpec.model_construct(target_namespaces=[])
    return to_initial(spec)


def fieldsets(*, with_cluster: bool) -> tuple[tuple[str | None, dict[str, Any]], ...]:
    """Every field once: what matters most first, the schema's sections as tabs."""
    sections: dict[str, list[str]] = {}
    for field in FIELDS:
        sections.setdefault(field.split(SEPARATOR)[0] if SEPARATOR in field else "", []).append(field)
    loose = sections.pop("")
    where = ["cluster"] if with_cluster else []
    found: list[tuple[str | None, dict[str, Any]]] = [
        ("Policy", {"fields": [*where, "name", "namespace", "enabled", "revision"]})
    ]
    tabs: list[tuple[str | None, dict[str, Any]]] = []
    for number, (title, text, names) in enumerate(_GROUPS):
        group = [name for name in names if name in loose]
        loose = [name for name in loose if name not in group]
        if number < _ALWAYS_SHOWN:
            found.append((title, {"fields": group, "description": text}))
        else:
            tabs.append((title, {"fields": group, "description": text, "classes": ["tab"]}))
    for name, names_ in sections.items():
        model = PolicySpec.model_fields[name].annotation
        text = (model.__doc__ or "").strip() if isinstance(model, type) and issubclass(model, BaseModel) else ""
        text = " ".join(text.split())
        tabs.insert(-1, (title_of(name), {"fields": names_, "description": text, "classes": ["tab"]}))
    if loose:  # a new field of the schema that nobody has put into a group yet
        tabs.append(("More", {"fields": loose, "classes": ["tab"]}))
    return (*found, *tabs)


def _with_item(message: str, place: str | None, detail: Any) -> str:
    """For a list the schema names the item's number; people want to see the item."""
    if place and len(detail["loc"]) > len(place.split(SEPARATOR)):
        inside = ".".join(str(part) for part in detail["loc"][len(place.split(SEPARATOR)) :] if part != "[key]")
        item = detail["input"] if isinstance(detail["input"], str | int | float) else inside
        return f"{item!r}: {message}"
    return message


PolicyForm = type("PolicyForm", (PolicyFormBase,), dict(FIELDS))
