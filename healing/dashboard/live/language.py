"""In which language an open page is read: the socket brings the same header and cookie as the page before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils import translation


def language_of(scope: Mapping[str, Any]) -> str:
    """One of `LANGUAGES`, found as Django's middleware finds it for the page."""
    request = HttpRequest()
    request.COOKIES = dict(scope.get("cookies") or {})
    accepted = [value for name, value in scope.get("headers") or () if name == b"accept-language"]
    request.META["HTTP_ACCEPT_LANGUAGE"] = b",".join(accepted).decode("latin-1")
    return translation.get_language_from_request(request)
