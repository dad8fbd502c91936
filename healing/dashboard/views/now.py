"""The list: what waits for people, what is live, what is over; and the history behind it."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from healing.access import Capability, Grants, grants_of
from healing.dashboard import checklist, demo, feed
from healing.dashboard.requests import PageRequest, needs
from healing.dashboard.rows import finished_page
from healing.event_filters import BadFilter, EventFilter
from healing.lifecycle import BUDGET_SECONDS, Outcome, Phase
from healing.models import HealingEvent

__all__ = ["PageRequest", "history", "now"]


@never_cache
@needs(Capability.VIEW)
@require_safe
def now(request: PageRequest) -> HttpResponse:
    """The page, or only its content where htmx asks after a change of the filters."""
    grants = grants_of(request.user)
    filters, error = _filters(request.GET.dict())
    shows_all = request.GET.get("show") == "all"
    content = feed.Content(filters, grants, feed.ALL_ROWS_SHOWN if shows_all else feed.ROWS_SHOWN)
    content.read()
    socket = filters.query_string() + ("&show=all" if shows_all else "")
    context = {
        "sections": content.sections(),
        "counts": content.counts,
        "rows_shown": content.cap,
        "shows_all": shows_all,
        "socket_query": socket.lstrip("&"),
        "may_decide": grants.may_somewhere(Capability.DECIDE),
        "budgets": BUDGET_SECONDS.items(),
        "checklist": checklist.checklist(grants) if not filters else None,
        "may_break": demo.is_on() and grants.may_somewhere(Capability.OPERATE),
        "is_demo": demo.is_on(),
        "nothing_ever": not filters and not content.slots.wanted,
        **_filter_context(filters, error, grants),
    }
    return render(request, "dashboard/now/page.html", context)


@never_cache
@needs(Capability.VIEW)
@require_safe
def history(request: PageRequest) -> HttpResponse:
    """Finished events, a page at a time; htmx asks for the next rows."""
    grants = grants_of(request.user)
    filters, error = _filters(request.GET.dict())
    before = HealingEvent.objects.filter(name=request.GET.get("before", "")).first()
    rows, has_more = finished_page(filters, grants, before, size=50)
    context = {
        "rows": [feed.render_row(row) for row in rows],
        "next": rows[-1].event.name if has_more else "",
        **_filter_context(filters, error, grants),
    }
    template = "dashboard/history/_rows.html" if request.htmx and before else "dashboard/history/page.html"
    return render(request, template, context)


def _filters(values: Mapping[str, str]) -> tuple[EventFilter, str]:
    try:
        return EventFilter.parse(values), ""
    except BadFilter as error:
        return EventFilter(), str(error)


def _filter_context(filters: EventFilter, error: str, grants: Grants) -> dict[str, object]:
    seen = HealingEvent.objects.filter(grants.places(Capability.VIEW)).exclude(target_namespace="")
    namespaces = seen.order_by("target_namespace").values_list("target_namespace", flat=True).distinct()
    return {
        "clusters": list(settings.CLUSTERS) if len(settings.CLUSTERS) > 1 else [],
        "filters": filters,
        "filter_error": error,
        "namespaces": list(namespaces[:500]),
        "phases": [phase.value for phase in Phase],
        "outcomes": [outcome.value for outcome in Outcome],
    }
