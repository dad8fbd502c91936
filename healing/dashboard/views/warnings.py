"""Warnings: what will break if nobody does anything; have a fix prepared, or say that it is not needed."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from healing.access import Capability, grants_of, why_not
from healing.audit import Actor
from healing.dashboard import warnings_view
from healing.dashboard.requests import PageRequest, needs, refused
from healing.forecasting import acting
from healing.models import ProactiveWarning

MAX_REASON_LENGTH = 500


@never_cache
@needs(Capability.VIEW)
@require_safe
def warnings(request: PageRequest) -> HttpResponse:
    """Open warnings, the most urgent first, and how earlier ones ended."""
    return _page(request)


@needs(Capability.OPERATE)
@require_POST
def prepare(request: PageRequest, warning_id: int) -> HttpResponse:
    """Open an event for the warning: its fix is argued, shown and approved like any other."""
    row = _visible(request, warning_id)
    if refusal := why_not(request.user, Capability.OPERATE, cluster=row.cluster, namespace=row.namespace):
        return refused(request, refusal)
    try:
        event = acting.prepare(row.pk, actor=Actor.of_request(request), now=timezone.now())
    except acting.CannotPrepare as error:
        return _page(request, alert=str(error), status=HTTPStatus.CONFLICT)
    return redirect("dashboard:event", name=event.name)


@needs(Capability.OPERATE)
@require_POST
def dismiss(request: PageRequest, warning_id: int) -> HttpResponse:
    """Nothing is to be done; a reason is required, and it comes back after a while if it goes on."""
    row = _visible(request, warning_id)
    if refusal := why_not(request.user, Capability.OPERATE, cluster=row.cluster, namespace=row.namespace):
        return refused(request, refusal)
    reason = " ".join(request.POST.get("reason", "").replace("\0", "").split())[:MAX_REASON_LENGTH]
    if not reason:
        alert = _("Say why nothing is to be done: whoever comes next will want to know.")
        return _page(request, alert=alert, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        acting.dismiss(row.pk, actor=Actor.of_request(request), reason=reason, now=timezone.now())
    except acting.CannotPrepare as error:
        return _page(request, alert=str(error), status=HTTPStatus.CONFLICT)
    messages.success(request, _("Dismissed. If it goes on, the warning comes back in six hours."))
    return redirect("dashboard:warnings")


def _visible(request: PageRequest, warning_id: int) -> ProactiveWarning:
    return get_object_or_404(warnings_view.visible(grants_of(request.user)), pk=warning_id)


def _page(request: PageRequest, *, alert: str = "", status: int = HTTPStatus.OK) -> HttpResponse:
    grants = grants_of(request.user)
    context = {
        "open_warnings": warnings_view.open_warnings(grants, request.GET.get("cluster", "")),
        "closed_warnings": warnings_view.closed_warnings(grants),
        "record": warnings_view.record(grants, timezone.now()),
        "may_operate": grants.may_somewhere(Capability.OPERATE),
        "alert": alert,
    }
    return render(request, "dashboard/warnings/page.html", context, status=status)
