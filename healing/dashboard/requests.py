"""What views behind a login get, and the checks they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.middleware import HtmxDetails

from healing.access import Capability, why_not_anywhere

P = ParamSpec("P")


class PageRequest(HttpRequest):
    """A request as the middleware leaves it for views behind a login."""

    htmx: HtmxDetails
    user: User


View = Callable[Concatenate[PageRequest, P], HttpResponse]


def needs(capability: Capability) -> Callable[[View[P]], View[P]]:
    """For pages that need a capability at any place at all; what is shown has to be filtered all the same. Who may not
    gets a page that says whom to ask."""

    def decorate(view: View[P]) -> View[P]:
        @login_required
        @wraps(view)
        def checked(request: PageRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if refusal := why_not_anywhere(request.user, capability):
                return refused(request, refusal)
            return view(request, *args, **kwargs)

        return checked  # type: ignore[return-value]  # login_required forgets the parameters

    return decorate


def refused(request: HttpRequest, reason: str) -> HttpResponse:
    """A page that says why not, and whom to ask."""
    return render(request, "dashboard/refused.html", {"reason": reason}, status=HTTPStatus.FORBIDDEN)


def next_page(request: HttpRequest) -> str:
    """Where a form wants to go back to, if it is a page of ours."""
    wanted = request.POST.get("next", "")
    same_site = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if same_site else "/"
