"""One's own API tokens: make, see, end. Admins see and end everybody's."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

from django.contrib.auth.decorators import login_required
from django.contrib.messages import success
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from healing import api_tokens as tokens
from healing.access import Capability, why_not
from healing.audit import Actor
from healing.dashboard.requests import PageRequest
from healing.models import ApiToken, Scope

#: Days a token may hold, as they are offered; 0: for ever.
DAYS = (30, 90, 365, 0)
_SHOWN = 200


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def token_list(request: PageRequest) -> HttpResponse:
    """The list and the form. The answer to the form is the only page that shows the new token."""
    if request.method != "POST":
        return _page(request)
    days = request.POST.get("days", "")
    if days not in map(str, DAYS):
        return _page(request, error=_("Choose how long the token holds."), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        row, text = tokens.create(
            request.user,
            name=request.POST.get("name", ""),
            scopes=request.POST.getlist("scopes"),
            expires_at=timezone.now() + timedelta(days=int(days)) if days != "0" else None,
            actor=Actor.of_request(request),
        )
    except tokens.TokenRefused as error:
        return _page(request, error=str(error), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _page(request, made=row, text=text, status=HTTPStatus.CREATED)


@login_required
@require_POST
def revoke(request: PageRequest, token_id: int) -> HttpResponse:
    """End a token at once."""
    token = ApiToken.objects.select_related("owner").filter(pk=token_id).first()
    if token is None or (token.owner_id != request.user.pk and why_not(request.user, Capability.ADMIN)):
        raise Http404("You have no such token.")
    if tokens.revoke(token, actor=Actor.of_request(request)):
        text = _("The token %(name)s is revoked: nothing can be done with it any more.")
        success(request, text % {"name": token.name})
    return redirect("dashboard:tokens")


def _page(
    request: PageRequest,
    *,
    made: ApiToken | None = None,
    text: str = "",
    error: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> HttpResponse:
    is_admin = not why_not(request.user, Capability.ADMIN)
    rows = ApiToken.objects.select_related("owner").filter(revoked_at=None)
    own = rows.filter(owner=request.user)
    others = rows.exclude(owner=request.user) if is_admin else rows.none()
    context = {
        "made": made,
        "text": text,
        "error": error,
        "tokens": own[:_SHOWN],
        "others": others[:_SHOWN],
        "scopes": Scope.choices,
        "days": DAYS,
        "chosen": request.POST if error else {},
        "chosen_scopes": request.POST.getlist("scopes") if error else ["read"],
        "now": timezone.now(),
    }
    return render(request, "dashboard/tokens/list.html", context, status=status)
