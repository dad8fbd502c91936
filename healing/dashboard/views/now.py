"""The list: what waits for people, what is live, what is over; and the history behind it."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from healing.approvals.permissions import why_not_decide
from healing.dashboard import feed, parts
from healing.dashboard.rows import Section, finished_page, load_rows, slots
from healing.event_filters import BadFilter, EventFilter
from healing.lifecycle import Outcome, Phase
from healing.models import HealingEvent, Policy


class PageRequest(HttpRequest):
    """A request as the middleware leaves it for views behind a login."""

    htmx: HtmxDetails
    user: User


@never_cache
@login_required
@require_safe
def now(request: PageRequest) -> HttpResponse:
    """The page, or only its content where htmx asks after a change of the filters."""
    filters, error = _filters(request.GET.dict())
    wanted = slots(filters)
    rows = load_rows([slot.pk for slot in wanted])
    sections: dict[str, list[SafeString]] = {section.value: [] for section in Section}
    for slot in wanted:
        if (row := rows.get(slot.pk)) is not None:
            sections[row.section].append(feed.render_row(row))
    context = {
        "sections": sections,
        "counts": feed.counts(wanted),
        "why_not_decide": why_not_decide(request.user),
        "nothing_ever": not filters and not wanted,
        "has_policies": Policy.objects.filter(enabled=True).exists(),
        **_filter_context(filters, error),
    }
    return render(request, "dashboard/now/page.html", context)


@never_cache
@login_required
@require_safe
def history(request: PageRequest) -> HttpResponse:
    """Finished events, a page at a time; htmx asks for the next rows."""
    filters, error = _filters(request.GET.dict())
    before = HealingEvent.objects.filter(name=request.GET.get("before", "")).first()
    rows, has_more = finished_page(filters, before, size=50)
    context = {
        "rows": [feed.render_row(row) for row in rows],
        "next": rows[-1].event.name if has_more else "",
        **_filter_context(filters, error),
    }
    template = "dashboard/history/_rows.html" if request.htmx and before else "dashboard/history/page.html"
    return render(request, template, context)


def _filters(values: Mapping[str, str]) -> tuple[EventFilter, str]:
    try:
        return EventFilter.parse(values), ""
    except BadFilter as error:
        return EventFilter(), str(error)


def _filter_context(filters: EventFilter, error: str) -> dict[str, object]:
    namespaces = HealingEvent.objects.exclude(target_namespace="").values_list("target_namespace", flat=True)
    return {
        "clusters": list(settings.CLUSTERS) if len(settings.CLUSTERS) > 1 else [],
        "filters": filters,
        "filter_error": error,
        "namespaces": sorted(set(namespaces.distinct().order_by("target_namespace")[:500])),
        "phases": [phase.value for phase in Phase],
        "outcomes": [outcome.value for outcome in Outcome],
        "parts": parts.parts(),
        "server_now": timezone.now(),
    }
