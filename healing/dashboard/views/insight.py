"""Insight: how well it goes, where people see it differently, and what it is worth."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from healing.access import Capability, Grants, grants_of
from healing.dashboard.insight import drawing
from healing.dashboard.insight.numbers import read
from healing.dashboard.insight.scope import DAYS, MOST_MINUTES, BadScope, Scope
from healing.dashboard.insight.targets import LEAST_CASES, TOTAL_BUDGET_SECONDS, targets
from healing.dashboard.requests import PageRequest, needs
from healing.models import HealingEvent


@never_cache
@needs(Capability.VIEW)
@require_safe
def insight(request: PageRequest) -> HttpResponse:
    """The page; only its content where htmx asks after a change of the range."""
    grants, now, alert = grants_of(request.user), timezone.now(), ""
    try:
        scope = Scope.parse(request.GET.dict(), now)
    except BadScope as error:
        alert, scope = str(error), Scope.parse({}, now)
    numbers = read(scope, grants)
    context = {
        "scope": scope,
        "numbers": numbers,
        "targets": targets(numbers),
        "bars": drawing.bars(numbers),
        "lines": drawing.lines(numbers, TOTAL_BUDGET_SECONDS),
        "clocks": drawing.clock_bars(numbers.clocks),
        "ranges": [(days, scope.query(days=days)) for days in DAYS],
        "query": scope.query(),
        "least_cases": LEAST_CASES,
        "most_minutes": MOST_MINUTES,
        "namespaces": _namespaces(grants),
        "alert": alert,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if alert and not request.htmx else HTTPStatus.OK
    return render(request, "dashboard/insight/page.html", context, status=status)


def _namespaces(grants: Grants) -> list[str]:
    seen = HealingEvent.objects.filter(grants.places(Capability.VIEW)).exclude(target_namespace="")
    return list(seen.order_by("target_namespace").values_list("target_namespace", flat=True).distinct()[:500])
