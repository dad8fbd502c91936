"""What the command palette finds as one types: events and workloads. Pages and actions are on the page already."""

from __future__ import annotations

from django.http import JsonResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from healing.access import Capability, grants_of
from healing.dashboard import words
from healing.dashboard.requests import PageRequest, needs
from healing.event_filters import BadFilter, EventFilter
from healing.models import HealingEvent

EVENTS_SHOWN, WORKLOADS_SHOWN = 8, 5


@never_cache
@needs(Capability.VIEW)
@require_safe
def search(request: PageRequest) -> JsonResponse:
    """``{"items": [{"group", "title", "hint", "url"}]}``, the best first; empty for a text nothing can match."""
    try:
        filters = EventFilter.parse({"text": request.GET.get("text", "")})
    except BadFilter:
        return JsonResponse({"items": []})
    seen = HealingEvent.objects.filter(grants_of(request.user).places(Capability.VIEW))
    found = filters.apply(seen).order_by("finished_at", "-detected_at") if filters.text else seen.none()
    events = list(
        found.only("name", "target_namespace", "target_name", "symptom", "phase", "outcome", "finished_at")[:200]
    )
    # Open ones first: NULLs come first or last, depending on the database.
    events.sort(key=lambda event: event.finished_at is not None)
    items = [
        {
            "group": _("Events"),
            "title": _("%(target)s %(symptom)s")
            % {
                "target": f"{event.target_namespace}/{event.target_name}".lstrip("/"),
                "symptom": words.symptom_words(event.symptom),
            },
            "hint": words.humanize(event.outcome or event.phase),
            "url": reverse("dashboard:event", args=[event.name]),
        }
        for event in events[:EVENTS_SHOWN]
    ]
    workloads: dict[tuple[str, str], int] = {}
    for event in events:
        key = (event.target_namespace, event.target_name)
        workloads[key] = workloads.get(key, 0) + 1
    for (namespace, name), count in list(workloads.items())[:WORKLOADS_SHOWN]:
        query = urlencode({"text": name, "namespace": namespace})
        items.append(
            {
                "group": _("Workloads"),
                "title": f"{namespace}/{name}" if namespace else name,
                "hint": ngettext("%(count)s event", "%(count)s events", count) % {"count": count},
                "url": f"{reverse('dashboard:history')}?{query}",
            }
        )
    return JsonResponse({"items": items})
