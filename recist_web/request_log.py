"""Each request has an id: in every line that is logged on its behalf, and in the answer's header."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
#: What a proxy before us may say it is; anything else is no id, and would only be text of a stranger in our logs.
_SHAPE = re.compile(r"[A-Za-z0-9_.\-]{8,64}")


class RequestContext:
    """The id that a proxy gave (X-Request-ID), or a new one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        request_id = given if _SHAPE.fullmatch(given) else uuid.uuid4().hex
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response.headers[HEADER] = request_id
        return response
