"""An event's postmortem: read, print, edit, download."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from healing import teaching
from healing.access import Capability, why_not
from healing.audit import Actor
from healing.dashboard import knowledge_postmortem
from healing.dashboard.event_view import EventView, load_event
from healing.dashboard.requests import PageRequest, needs, refused


@never_cache
@needs(Capability.VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def postmortem(request: PageRequest, name: str) -> HttpResponse:
    """``?edit`` shows the text; a post saves it."""
    view = _load(request, name)
    if request.method == "POST":
        return _save(request, view)
    return _page(request, view, edit="edit" in request.GET)


@never_cache
@needs(Capability.VIEW)
@require_safe
def download(request: PageRequest, name: str) -> HttpResponse:
    """The Markdown as a file."""
    view = _load(request, name)
    text, _version, _row = knowledge_postmortem.current(view)
    response = HttpResponse(text, content_type="text/markdown; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="postmortem-{view.event.name}.md"'
    return response


def _load(request: PageRequest, name: str) -> EventView:
    view = load_event(name, request.user)
    event = view.event if view else None
    if event is None or view is None:
        raise Http404(f"There is no event {name}.")
    if why_not(request.user, Capability.VIEW, cluster=event.cluster, namespace=event.target_namespace):
        raise Http404(f"There is no event {name}.")
    return view


def _save(request: PageRequest, view: EventView) -> HttpResponse:
    text, version = request.POST.get("markdown", ""), request.POST.get("version", "")
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 9 else -1
    try:
        teaching.save_postmortem(request.user, Actor.of_request(request), view.event, markdown=text, version=number)
    except teaching.NotAllowed as error:
        return refused(request, str(error))
    except teaching.Refused as error:
        return _page(request, view, edit=True, draft=text, alert=str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    except teaching.Changed as error:
        return _page(request, view, edit=True, draft=text, alert=str(error), status=HTTPStatus.CONFLICT)
    messages.success(request, _("Saved."))
    return redirect("dashboard:postmortem", name=view.event.name)


def _page(
    request: PageRequest,
    view: EventView,
    *,
    edit: bool,
    draft: str | None = None,
    alert: str = "",
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    markdown, version, row = knowledge_postmortem.current(view)
    event = view.event
    context = {
        "event": event,
        "html": knowledge_postmortem.html(markdown),
        "markdown": draft if draft is not None else markdown,
        "theirs": markdown if draft is not None and status == HTTPStatus.CONFLICT else "",
        "version": version,
        "row": row,
        "edit": edit,
        "alert": alert,
        "may_edit": not why_not(
            request.user, Capability.OPERATE, cluster=event.cluster, namespace=event.target_namespace
        ),
    }
    return render(request, "dashboard/knowledge/postmortem.html", context, status=status)
