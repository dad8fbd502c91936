"""Errors as problem+json (RFC 9457), alike for every operation, and declared in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"


class FieldError(Schema):
    """One field that cannot be used; ``field`` is its dotted path in the request."""

    field: str
    message: str


class ProblemBody(Schema):
    """What went wrong. ``type`` is a slug that programs can match; ``detail`` says what to do."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None
    # Of a decision that came second:
    state: str | None = None
    decidedBy: str | None = None  # noqa: N815 - names of the wire format
    decidedAt: str | None = None  # noqa: N815
    # Of a policy whose fields others have set, or that was changed since it was read:
    conflicts: list[dict[str, Any]] | None = None
    changes: list[dict[str, Any]] | None = None


class Problem(Exception):
    """Raise it to answer with a problem."""

    def __init__(self, status: HTTPStatus, slug: str, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.more = more


def declared(*statuses: int) -> dict[int, type[ProblemBody]]:
    """For an operation's ``response``: the problems it can answer with."""
    return dict.fromkeys(statuses, ProblemBody)


def response(
    status: int,
    slug: str,
    detail: str,
    more: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """A problem as a response."""
    body = {"type": slug, "title": HTTPStatus(status).phrase, "status": int(status), "detail": detail, **(more or {})}
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))


def field_errors(details: Sequence[Mapping[str, Any]], prefix: Sequence[str] = ()) -> list[dict[str, str]]:
    """pydantic's errors in the words of the field."""
    return [
        {
            "field": ".".join(str(part) for part in (*prefix, *detail["loc"])),
            "message": str(detail["msg"]).removeprefix("Value error, "),
        }
        for detail in details
    ]


def install(api: NinjaAPI) -> None:
    """Make every error of the API a problem."""

    @api.exception_handler(Problem)
    def _problem(request: HttpRequest, error: Problem) -> HttpResponse:
        return response(error.status, error.slug, error.detail, error.more)

    @api.exception_handler(ValidationError)
    def _validation(request: HttpRequest, error: ValidationError) -> HttpResponse:
        errors = field_errors([{**e, "loc": _place(e["loc"])} for e in error.errors])
        detail = "; ".join(f"{e['field']}: {e['message']}" for e in errors)
        return response(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, {"errors": errors})

    @api.exception_handler(AuthenticationError)
    def _authentication(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        detail = "Sign in, or send an API token as a bearer, or user name and password with HTTP Basic."
        return response(
            HTTPStatus.UNAUTHORIZED,
            "unauthenticated",
            detail,
            headers={"WWW-Authenticate": 'Basic realm="ReCiSt", Bearer realm="ReCiSt"'},
        )

    @api.exception_handler(HttpError)
    def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
        slug = {400: "unreadable", 403: "forbidden", 429: "too-many-requests"}.get(error.status_code, "error")
        return response(error.status_code, slug, str(error))

    @api.exception_handler(Http404)
    def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
        return response(HTTPStatus.NOT_FOUND, "not-found", str(error) or "There is no such thing.")

    @api.exception_handler(RequestDataTooBig)
    def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The request's body is too large.")


def _place(location: Sequence[object]) -> tuple[object, ...]:
    """Without ninja's first two parts (body and the parameter's name), which no caller knows."""
    if location and location[0] == "body":
        return tuple(location[2:]) or ("body",)
    return tuple(location[1:]) or tuple(location)
