"""Policies, to read. They are edited in the admin, or in the cluster where they come from."""

from __future__ import annotations

from django.db.models import Count, Max, Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from pydantic import ValidationError

from healing.access import Capability, grants_of
from healing.approvals import agreement
from healing.dashboard import parts
from healing.dashboard.policy_view import groups_of
from healing.dashboard.requests import PageRequest, needs
from healing.lifecycle import Outcome
from healing.models import HealingEvent, Policy
from healing.policies import first_day
from healing.policies.spec import PolicySpec
from healing.policy_changes import service
from healing.policy_changes.rights import may_see, why_not_change

_REVISIONS = 20
_RECORDS = 10


@never_cache
@needs(Capability.VIEW)
@require_safe
def policy_list(request: PageRequest) -> HttpResponse:
    """All policies with what they cover and how much they may do."""
    grants = grants_of(request.user)
    rows = [(policy, _spec(policy)) for policy in Policy.objects.all() if may_see(grants, policy)]
    context = {"policies": rows, "parts": parts.parts(), "server_now": timezone.now()}
    return render(request, "dashboard/policies/list.html", context)


@never_cache
@needs(Capability.VIEW)
@require_safe
def policy_detail(request: PageRequest, policy_id: int) -> HttpResponse:
    """Every field in words, with its unit and meaning, and the policy's latest events."""
    policy, grants = get_object_or_404(Policy, pk=policy_id), grants_of(request.user)
    if not may_see(grants, policy):
        raise Http404("There is no such policy.")
    spec, now = _spec(policy), timezone.now()
    records = agreement.agreements(policy, now)
    context = {
        "policy": policy,
        "records": records[:_RECORDS],
        "advice": agreement.advice(policy, records, now) if spec else "",
        "first_day_ends": first_day.ends_at(policy, now),
        "spec": spec,
        "groups": groups_of(spec) if spec else [],
        "events": HealingEvent.objects.filter(grants.places(Capability.VIEW), policy=policy).defer("diagnosis")[:10],
        "read_only_because": service.read_only_because(policy),
        "may_edit": request.user.is_staff and not why_not_change(request.user, policy.cluster, _namespaces(policy)),
        "tally": HealingEvent.objects.filter(policy=policy).aggregate(
            active=Count("pk", filter=Q(finished_at__isnull=True)),
            healed=Count("pk", filter=Q(outcome=Outcome.HEALED)),
            ended=Count("pk", filter=Q(finished_at__isnull=False)),
            last=Max("finished_at"),
        ),
        "revisions": policy.revisions.all()[:_REVISIONS],
        "parts": parts.parts(),
        "server_now": timezone.now(),
    }
    return render(request, "dashboard/policies/detail.html", context)


def _namespaces(policy: Policy) -> list[str]:
    return list(policy.spec.get("targetNamespaces") or ())


def _spec(policy: Policy) -> PolicySpec | None:
    try:
        return policy.parsed()
    except ValidationError:
        return None  # the row says why in `error`; the page shows that
