"""Break something, in the demo only."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from healing import audit
from healing.access import Capability
from healing.dashboard import demo
from healing.dashboard.requests import PageRequest, needs


@never_cache
@needs(Capability.OPERATE)
@require_safe
def panel(request: PageRequest) -> HttpResponse:
    """The panel as a page, or only its content for htmx."""
    return _panel(request)


@needs(Capability.OPERATE)
@require_POST
def break_it(request: PageRequest) -> HttpResponse:
    """Inject the chosen fault."""
    _only_in_the_demo()
    fault, where = request.POST.get("fault", ""), request.POST.get("where", "")
    try:
        done = demo.break_it(fault, where)
    except demo.DemoError as error:
        return _panel(request, alert=str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    audit.record("demo.broken", actor=audit.Actor.of_request(request), target=where, data={"fault": fault})
    text = _("Broken on purpose: %(done)s. Watch it being found, usually within seconds.")
    messages.success(request, text % {"done": done.rstrip(".")})
    return redirect("dashboard:now")


@needs(Capability.OPERATE)
@require_POST
def take_back(request: PageRequest) -> HttpResponse:
    """End a fault. The button's value names it."""
    _only_in_the_demo()
    wanted = request.POST.get("fault", "")
    try:
        demo.take_back(wanted)
    except demo.DemoError as error:
        return _panel(request, alert=str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    audit.record("demo.mended", actor=audit.Actor.of_request(request), target=wanted)
    messages.success(request, _("Taken back. A change that somebody made since stays."))
    return redirect("dashboard:now")


def _panel(request: PageRequest, *, alert: str = "", status: int = HTTPStatus.OK) -> HttpResponse:
    _only_in_the_demo()
    context: dict[str, object] = {"alert": alert}
    try:
        context["panel"] = demo.panel()
    except demo.DemoError as error:
        context["alert"] = alert or str(error)
    template = "dashboard/demo/_panel.html" if request.htmx else "dashboard/demo/page.html"
    return render(request, template, context, status=status)


def _only_in_the_demo() -> None:
    if not demo.is_on():
        raise Http404("Only the demo has this.")
