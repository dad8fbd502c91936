"""Policies to edit, try out and restore; what a GitOps tool owns to read, with the reason why."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from pydantic import ValidationError as SpecError
from unfold.admin import ModelAdmin

from healing.access.roles import Capability, grants_of
from healing.admin.policy_form import PolicyForm, fieldsets
from healing.admin.spec_fields import to_initial
from healing.audit import Actor
from healing.dashboard.policy_view import groups_of
from healing.models import Policy, PolicyRevision
from healing.policies.difference import compare, leaves, put
from healing.policies.spec import PolicySpec
from healing.policy_changes import service
from healing.policy_changes.errors import ChangeRefused, Conflicts, Gone, Stale
from healing.policy_changes.history import State
from healing.policy_changes.preview import preview
from healing.policy_changes.replay import replay_evaluation, replay_events
from healing.policy_changes.rights import why_not_change

_REVISIONS = 100


@admin.register(Policy)
class PolicyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """What may be healed, how, and who must agree."""

    form = PolicyForm
    list_display = ("__str__", "covers", "autonomy", "enabled", "source", "managed_by", "updated_at")
    list_filter = ("source", "enabled")
    search_fields = ("name", "namespace", "cluster")
    warn_unsaved_form = True
    change_form_before_template = "admin/policies/above.html"

    # --- what is shown ---------------------------------------------------------------------------------------

    def get_list_display(self, request: HttpRequest) -> Any:
        return (*self.list_display, "cluster") if len(settings.CLUSTERS) > 1 else self.list_display

    def get_fieldsets(self, request: HttpRequest, obj: Policy | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            fields = ("read_only_because", "name", "namespace", "enabled", "error", "in_words")
            return ((None, {"fields": fields}),)
        return fieldsets(with_cluster=obj is None and len(settings.CLUSTERS) > 1)

    def get_readonly_fields(self, request: HttpRequest, obj: Policy | None = None) -> Any:
        is_read_only = obj is not None and not self.has_change_permission(request, obj)
        return ("read_only_because", "in_words") if is_read_only else ()

    def get_actions(self, request: HttpRequest) -> Any:
        """No bulk deletion: it would not ask `has_delete_permission` for each policy."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().get_changeform_initial_data(request)}

    # --- who may ---------------------------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        allowed: bool = super().has_view_permission(request, obj)
        return allowed or grants_of(request.user).may_somewhere(Capability.ADMIN)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return grants_of(request.user).may_somewhere(Capability.ADMIN)

    def has_change_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        if obj is None:
            return self.has_add_permission(request)
        return not service.read_only_because(obj) and not self._refusal(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def _refusal(self, request: HttpRequest, policy: Policy, spec: PolicySpec | None = None) -> str:
        names = [*(policy.spec.get("targetNamespaces") or ()), *(spec.target_namespaces if spec else ())]
        return why_not_change(request.user, policy.cluster, names)

    # --- making and changing ---------------------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """GET as usual (``?restore=N`` fills in an earlier revision); POST saves through `healing.policy_changes`, or
        only tries it out (``_tryout``)."""
        policy = self.get_object(request, object_id) if object_id else None
        if object_id and policy is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        if request.method == "POST":
            self._require(request, policy)
            return self._post(request, policy)
        number = request.GET.get("restore", "")
        if policy is not None and number.isascii() and number.isdigit():
            self._require(request, policy)
            return self._show_revision(request, policy, int(number[:9]))
        answer: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
        return answer

    def _require(self, request: HttpRequest, policy: Policy | None) -> None:
        allowed = self.has_change_permission(request, policy) if policy else self.has_add_permission(request)
        if not allowed:
            raise PermissionDenied

    def _post(self, request: HttpRequest, policy: Policy | None) -> HttpResponse:
        form_class = self.get_form(request, policy, change=policy is not None)
        form = form_class(request.POST, request.FILES, instance=policy or Policy())
        if not form.is_valid() or form.spec is None:
            return self._page(request, form, policy)
        spec: PolicySpec = form.spec
        target = policy or Policy(cluster=form.cleaned_data.get("cluster") or settings.CLUSTER_NAME)
        # The form has put the name into its instance; what is stored counts.
        stored = Policy.objects.filter(pk=policy.pk).first() if policy else None
        if refusal := self._refusal(request, stored or target, spec):
            form.add_error("target_namespaces", refusal)
            return self._page(request, form, policy)
        if "_tryout" in request.POST:
            tried = _try_out(stored, target.cluster, spec, enabled=form.cleaned_data["enabled"])
            return self._page(request, form, policy, tried=tried)
        try:
            return self._save(request, form, stored, spec, target.cluster)
        except Conflicts as error:
            form.add_error(None, "Others have set what you change, so nothing was written. See above.")
            return self._page(request, form, policy, conflicts=error.found)
        except Stale as error:
            return self._show_newer(request, policy_id=stored.pk if stored else 0, mine=spec, form=form, error=error)
        except ChangeRefused as error:
            form.add_error(None, str(error))
            return self._page(request, form, policy)

    def _save(
        self, request: HttpRequest, form: Any, stored: Policy | None, spec: PolicySpec, cluster: str
    ) -> HttpResponse:
        actor, enabled = Actor.of_request(request), form.cleaned_data["enabled"]
        if stored is None:
            place = service.Place(cluster, form.cleaned_data["namespace"], form.cleaned_data["name"])
            made = service.create(place, spec, enabled=enabled, actor=actor)
            self.message_user(request, f"Policy {made.policy} was made. {made.says}", messages.SUCCESS)
            return HttpResponseRedirect(self._next(request, made.policy))
        changed = service.change(
            stored.pk,
            spec,
            enabled=enabled,
            actor=actor,
            revision=form.cleaned_data["revision"],
            take_over=request.POST.getlist("take_over"),
            note=f"As in revision {request.POST['restored']}." if request.POST.get("restored", "").isdigit() else "",
            kind=PolicyRevision.Kind.RESTORED if request.POST.get("restored") else PolicyRevision.Kind.CHANGED,
        )
        where = "its resource" if changed.source == Policy.Source.CLUSTER else "this app (it has no resource)"
        nothing = changed.revision == stored.revision
        text = f"Policy {changed}: nothing to change." if nothing else f"Policy {changed} was changed in {where}."
        self.message_user(request, text, messages.INFO if nothing else messages.SUCCESS)
        return HttpResponseRedirect(self._next(request, changed))

    def _next(self, request: HttpRequest, policy: Policy) -> str:
        if "_addanother" in request.POST:
            return reverse("admin:healing_policy_add")
        if "_continue" in request.POST:
            return reverse("admin:healing_policy_change", args=[policy.pk])
        return reverse("admin:healing_policy_changelist")

    def _show_newer(
        self, request: HttpRequest, *, policy_id: int, mine: PolicySpec, form: Any, error: Stale
    ) -> HttpResponse:
        """What somebody else has changed meanwhile, with the person's own changes put on top; nothing is saved."""
        policy = get_object_or_404(Policy, pk=policy_id)
        seen = PolicyRevision.objects.filter(policy=policy, number=form.cleaned_data["revision"] or 0).first()
        merged = dict(policy.spec)
        base = seen.spec if seen else {}
        for change in compare(base, mine.as_json()):
            path = tuple(change.field.split("."))
            put(merged, path, dict(leaves(mine.as_json())).get(path))
        self.message_user(
            request, f"{error} Your changes are filled in on top of it; check them and save again.", messages.WARNING
        )
        return self._show_spec(request, policy, merged)

    def _show_revision(self, request: HttpRequest, policy: Policy, number: int) -> HttpResponse:
        entry = get_object_or_404(PolicyRevision, policy=policy, number=number)
        return self._show_spec(request, policy, entry.spec, enabled=entry.enabled, restored=number)

    def _show_spec(
        self,
        request: HttpRequest,
        policy: Policy,
        spec: dict[str, Any],
        *,
        enabled: bool | None = None,
        restored: int | None = None,
    ) -> HttpResponse:
        try:
            initial = to_initial(PolicySpec.model_validate(spec))
        except SpecError:
            self.message_user(request, "That revision's spec is not valid any more.", messages.ERROR)
            initial = {}
        if enabled is not None:
            initial["enabled"] = enabled
        form = self.get_form(request, policy, change=True)(instance=policy, initial=initial)
        return self._page(request, form, policy, restored=restored)

    def _page(self, request: HttpRequest, form: Any, policy: Policy | None, **more: Any) -> HttpResponse:
        """The form again, as Django's own view shows it."""
        admin_form = helpers.AdminForm(
            form,
            list(self.get_fieldsets(request, policy)),
            {},
            self.get_readonly_fields(request, policy),
            model_admin=self,
        )
        context = {
            **self.admin_site.each_context(request),
            "title": "Change policy" if policy else "Add policy",
            "subtitle": str(policy) if policy else None,
            "adminform": admin_form,
            "object_id": str(policy.pk) if policy else None,
            "original": policy,
            "is_popup": False,
            "to_field": None,
            "media": self.media + admin_form.media,
            "inline_admin_formsets": [],
            "errors": helpers.AdminErrorList(form, []),
            "preserved_filters": self.get_preserved_filters(request),
            "actions_submit_line": [],
            **more,
        }
        answer: HttpResponse = self.render_change_form(
            request, context, add=policy is None, change=policy is not None, obj=policy
        )
        return answer

    def delete_model(self, request: HttpRequest, obj: Policy) -> None:
        try:
            service.delete(obj.pk, actor=Actor.of_request(request), revision=None)
        except Gone:
            pass
        except ChangeRefused as error:
            raise PermissionDenied(str(error)) from error

    # --- history ---------------------------------------------------------------------------------------------

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Every state of the policy: who, when, what changed, and a way back."""
        policy = self.get_object(request, object_id)
        if policy is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        if not self.has_view_permission(request, policy):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {policy}",
            "opts": self.opts,
            "object": policy,
            "original": policy,
            "may_change": self.has_change_permission(request, policy),
            "revisions": policy.revisions.all()[:_REVISIONS],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/policies/history.html", context)

    # --- columns ---------------------------------------------------------------------------------------------

    @admin.display(description="why it cannot be changed here")
    def read_only_because(self, policy: Policy) -> str:
        return service.read_only_because(policy) or "You may look at this policy, not change it: that needs an admin."

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


def _try_out(stored: Policy | None, cluster: str, spec: PolicySpec, *, enabled: bool) -> dict[str, Any]:
    """What would change: fields, workloads, decisions about what has happened."""
    policy_id = stored.pk if stored else None
    try:
        old = stored.parsed() if stored else None
    except SpecError:
        old = None
    found = preview(cluster, spec, policy_id=policy_id)
    events = replay_events(cluster, spec, enabled=enabled, policy_id=policy_id, labels=found.labels)
    before = State.of(stored) if stored else None
    return {
        "changes": compare(before.spec, spec.as_json()) if before else [],
        "is_new": stored is None,
        "preview": found,
        "events": events,
        "evaluation": replay_evaluation(old, spec),
    }
