"""Middleware of the whole site."""

import ipaddress
from collections.abc import Callable, Mapping

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from healing.api import errors
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


class Language(LocaleMiddleware):
    """Pages come in the language that the browser asks for, of those there are (`LANGUAGES`).

    The API always answers in English: programs read it, and the words are part of its answers.
    """

    def process_request(self, request: HttpRequest) -> None:
        """Before the view."""
        if _is_api(request):
            translation.activate(settings.LANGUAGE_CODE)
            return
        super().process_request(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Say which language it is, and what it depends on."""
        return response if _is_api(request) else super().process_response(request, response)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


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


class ClientAddress:
    """Makes REMOTE_ADDR the caller's own address where proxies of ours (TRUSTED_PROXIES) stand in between.

    Each of them adds to X-Forwarded-For who came to it, so the entry that far from the end is the first that the caller
    could not have written. Limits, lock-outs and the audit trail read REMOTE_ADDR.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.TRUSTED_PROXIES:
            passed = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
            if len(passed) >= settings.TRUSTED_PROXIES:
                request.META["REMOTE_ADDR"] = _address(passed[-settings.TRUSTED_PROXIES])
        return self.get_response(request)


def address_of(request: HttpRequest) -> str:
    """For django-axes: the address that `ClientAddress` has found."""
    return str(request.META.get("REMOTE_ADDR", ""))


def _address(text: str) -> str:
    """Without the port that some proxies add; what is no address counts as one that nobody has."""
    candidates = (text, text.rpartition(":")[0], text.strip("[]"), text.rpartition(":")[0].strip("[]"))
    for candidate in candidates:
        try:
            return str(ipaddress.ip_address(candidate))
        except ValueError:
            continue
    return "0.0.0.0"  # noqa: S104 - no address to bind to


class ApiProblems:
    """Below /api/ every error is problem+json, also one that Django itself answers with: no such address, a method
    that an address does not have, a host that is not ours, a bug."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path.startswith("/api/") or response.status_code < 400:
            return response
        if response.headers.get("Content-Type", "").startswith(errors.CONTENT_TYPE):
            return response
        slug, detail = _PROBLEMS.get(response.status_code, ("error", "The request cannot be answered."))
        kept = {name: response.headers[name] for name in ("Allow", "Retry-After") if name in response.headers}
        return errors.response(response.status_code, slug, detail, headers=kept)


_PROBLEMS = {
    400: ("unreadable", "The request cannot be read. Is the host one of ALLOWED_HOSTS?"),
    403: ("forbidden", "A change from a browser needs its CSRF token."),
    404: ("not-found", "There is nothing at this address. GET /api/v1/openapi.json lists what there is."),
    405: ("method-not-allowed", "This address does not take that method; the header Allow names those it takes."),
    413: ("too-large", "The request's body is too large."),
    500: ("internal", "Something went wrong here; the log says what. Nothing is known to have been changed."),
}
