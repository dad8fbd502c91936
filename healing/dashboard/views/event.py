"""One event's page."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from healing.access import Capability
from healing.dashboard import parts, regions, timeline
from healing.dashboard.event_view import load_event
from healing.dashboard.requests import PageRequest, needs


@never_cache
@needs(Capability.VIEW)
@require_safe
def event(request: PageRequest, name: str) -> HttpResponse:
    """Story, phases, decision, diagnosis, evidence, strategies, actions and timeline."""
    return event_page(request, name)


def event_page(request: PageRequest, name: str, *, alert: str = "", status: int = 200, draft: str = "") -> HttpResponse:
    """The page, optionally with an alert on top (what became of a decision). ``draft`` is a reason typed in vain."""
    view = load_event(name, request.user)
    if view is None:
        raise Http404(f"There is no event {name}.")
    context = {
        "view": view,
        "event": view.event,
        "regions": {region.name: region.html for region in regions.render(view)},
        "timeline": regions.render_timeline(view.timeline),
        "sorts": timeline.SORTS,
        "alert": alert,
        "draft": draft,
        "parts": parts.parts(),
        "server_now": view.now,
    }
    return render(request, "dashboard/event/page.html", context, status=status)
