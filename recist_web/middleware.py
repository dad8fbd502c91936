"""Middleware of the whole site."""

from collections.abc import Callable, Mapping

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponse

from recist_web.health import livez, readyz
from recist_web.metrics import metrics

PROBES: Mapping[str, Callable[[HttpRequest], HttpResponse]] = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}

# Unfold's admin pages are built on Alpine.js (evaluates expressions in attributes) and inline styles. The looser rule
# holds for staff pages only, and still loads nothing from elsewhere.
_ADMIN = {"script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}


class Probes:
    """Answers /livez, /readyz and /metrics before everything else.

    Probes and scrapes come over plain HTTP to a pod's address, which is in no list of allowed hosts, and they have to
    be told the truth rather than a redirect. They hold nothing that depends on the host name.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        view = PROBES.get(request.path)
        return view(request) if view else self.get_response(request)


class AdminContentSecurityPolicy:
    """Loosens the content security policy below /admin/ as far as django-unfold needs it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/admin/"):
            # csp.middleware reads this attribute, as its own decorators set it.
            setattr(response, "_csp_replace", _ADMIN)  # noqa: B010 - not an attribute of HttpResponse
        return response
