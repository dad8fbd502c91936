"""The map of what runs, and each workload from near."""

from __future__ import annotations

from http import HTTPStatus

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from healing.access import Capability, grants_of
from healing.dashboard.map import picture, workload as one
from healing.dashboard.map.wanted import MAX_TEXT_LENGTH, Wanted
from healing.dashboard.requests import PageRequest, needs

#: In addresses, of what belongs to no namespace.
NO_NAMESPACE = "-"
#: So many groups of a drawing are opened at most.
MOST_OPENINGS = 40
_VALUES = ("cluster", "namespace", "text", "focus")


@never_cache
@needs(Capability.VIEW)
@require_safe
def overview(request: PageRequest) -> HttpResponse:
    """All namespaces, or one from near; the page asks again every few seconds with the etag of what it shows."""
    values = {name: request.GET.get(name, "").replace("\0", "").strip() for name in _VALUES}
    wanted = Wanted(
        values["cluster"],
        values["namespace"],
        values["text"][:MAX_TEXT_LENGTH],
        request.GET.get("etag", "") if request.htmx else "",
        values["focus"],
        tuple(name.replace("\0", "") for name in request.GET.getlist("open")[:MOST_OPENINGS] if name),
    )
    found = picture.read(wanted, grants_of(request.user))
    if found is None:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return render(request, "dashboard/map/page.html", {"wanted": wanted, "map": found, "many": len(found.clusters) > 1})


@never_cache
@needs(Capability.VIEW)
@require_safe
def workload(request: PageRequest, cluster: str, namespace: str, kind: str, name: str) -> HttpResponse:
    """How it is, and its past."""
    namespace = "" if namespace == NO_NAMESPACE else namespace
    view = one.read(cluster, namespace, kind, name, grants_of(request.user)) if cluster in settings.CLUSTERS else None
    if view is None:
        raise Http404("Nothing is known of it, or you may not see it.")
    return render(request, "dashboard/map/workload.html", {"view": view})
