"""The kill switch: halt automation, let it go on. Both ask first; both are written into the audit trail."""

from __future__ import annotations

from http import HTTPStatus

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from healing.access import Capability, why_not
from healing.approvals import halting
from healing.audit import Actor
from healing.dashboard.requests import PageRequest, needs, next_page, refused
from healing.models import Halt

MAX_REASON_LENGTH = 500


@never_cache
@needs(Capability.VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def halt(request: PageRequest) -> HttpResponse:
    """The confirmation as a page of its own, and what its form sends. The button on every page opens the same form."""
    if request.method != "POST":
        return _page(request)
    cluster = request.POST.get("cluster", "")
    reason = " ".join(request.POST.get("reason", "").replace("\0", "").split())
    if cluster and cluster not in settings.CLUSTERS:
        raise Http404("There is no such cluster.")
    if refusal := why_not(request.user, Capability.OPERATE, cluster=cluster):
        return refused(request, refusal)
    if not reason:
        return _page(request, error=_("Say why, in a few words: whoever is woken by this will read it first."))
    if len(reason) > MAX_REASON_LENGTH:
        text = _("A reason can have %(most)s characters at most; yours has %(length)s.")
        return _page(request, error=text % {"most": MAX_REASON_LENGTH, "length": len(reason)}, reason=reason)
    try:
        row = Halt(cluster=cluster, reason=reason)
        halting.halt(row, by=request.user.get_username(), actor=Actor.of_request(request))
    except halting.AlreadyHalted:
        messages.info(request, _("It was halted already."))
    else:
        messages.success(request, _("Halted. Nothing is done in the cluster until somebody lifts it."))
    return redirect(next_page(request))


@needs(Capability.VIEW)
@require_POST
def lift(request: PageRequest) -> HttpResponse:
    """Automation goes on. The button's value names the halt."""
    wanted = request.POST.get("halt", "")
    if not wanted.isascii() or not wanted.isdigit() or len(wanted) > 18:
        raise Http404("There is no such halt.")
    row = get_object_or_404(Halt, pk=int(wanted))
    if refusal := why_not(request.user, Capability.ADMIN, cluster=row.cluster):
        return refused(request, refusal)
    if halting.lift(row, by=request.user.get_username(), actor=Actor.of_request(request)):
        messages.success(request, _("Lifted. Automation goes on, with what has waited."))
    else:
        messages.info(request, _("It was lifted already."))
    return redirect(next_page(request))


def _page(request: PageRequest, *, error: str = "", reason: str = "") -> HttpResponse:
    context = {"error": error, "reason": reason, "next": next_page(request)}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK
    return render(request, "dashboard/halt.html", context, status=status)
