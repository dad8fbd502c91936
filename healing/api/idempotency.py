"""`Idempotency-Key`: a change that is sent again with the same key is answered as the first time, and done once.

The key is the caller's: it belongs to one request (method, address, body), for a day. A row is written before
the change and completed with its answer; one that stays incomplete belongs to a request that is still at work, or was
killed, and nobody knows how far it came: whoever repeats it is told to look.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from healing.api.errors import Problem
from healing.models import IdempotencyKey

HEADER = "Idempotency-Key"
MAX_LENGTH = 128
KEPT_FOR = timedelta(hours=24)
REPLAYED = "Idempotency-Replayed"
_CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
#: Answers that say nothing of the change itself: the same key may be tried again.
_UNSETTLED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_ROW = "idempotency_row"
_MAX_BODY = 1_000_000

Operation = Callable[..., Any]


def known_callers(operation: Operation) -> Operation:
    """Around an operation whose caller is known and whose input is valid: answer from the row, or note the start."""

    @wraps(operation)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        key = request.headers.get(HEADER)
        user = getattr(request, "auth", None)
        if key is None or request.method not in _CHANGES or user is None:
            return operation(request, *args, **kwargs)
        _check(key)
        digest = _digest(request)
        try:
            with transaction.atomic():
                _forget(user.pk)
                now = timezone.now()
                row = IdempotencyKey.objects.create(
                    user=user, key=key, request_digest=digest, created_at=now, expires_at=now + KEPT_FOR
                )
        except IntegrityError:
            return _answer_again(IdempotencyKey.objects.filter(user=user, key=key).first(), digest)
        setattr(request, _ROW, row)
        return operation(request, *args, **kwargs)

    return wrapped


def answers(view: Operation) -> Operation:
    """Around the whole of a request: keeps what it was answered."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = view(request, *args, **kwargs)
        except BaseException:
            _drop(request)
            raise
        row: IdempotencyKey | None = getattr(request, _ROW, None)
        if row is None:
            return response
        is_settled = response.status_code < 500 and response.status_code not in _UNSETTLED
        if not is_settled or len(response.content) > _MAX_BODY:
            _drop(request)
            return response
        row.status = response.status_code
        row.content_type = response.headers.get("Content-Type", "")
        row.body = _without_secrets(response)
        row.save(update_fields=["status", "content_type", "body"])
        return response

    return wrapped


def _check(key: str) -> None:
    if not 1 <= len(key) <= MAX_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        text = f"{HEADER}: use 1 to {MAX_LENGTH} printable ASCII characters, such as a UUID"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", text, errors=[{"field": HEADER, "message": text}])


def _answer_again(row: IdempotencyKey | None, digest: str) -> HttpResponse:
    if row is None:  # it was dropped this very moment
        text = "The first request with this key has just failed. Send it again."
        raise Problem(HTTPStatus.CONFLICT, "idempotency-retry", text)
    if not hmac.compare_digest(row.request_digest, digest):
        text = f"{HEADER}: this key was used for another request. Take a new one."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-reused", text)
    if row.status is None:
        text = "The first request with this key is still at work, or was broken off. Look what came of it."
        raise Problem(HTTPStatus.CONFLICT, "idempotency-unfinished", text)
    response = HttpResponse(row.body, status=row.status, content_type=row.content_type or None)
    response.headers[REPLAYED] = "true"
    return response


def _drop(request: HttpRequest) -> None:
    row: IdempotencyKey | None = getattr(request, _ROW, None)
    if row is not None:
        IdempotencyKey.objects.filter(pk=row.pk, status=None).delete()


def _forget(user_id: int) -> None:
    IdempotencyKey.objects.filter(user_id=user_id, expires_at__lt=timezone.now()).delete()


def _digest(request: HttpRequest) -> str:
    text = f"{request.method} {request.get_full_path()}\n".encode()
    return hashlib.sha256(text + request.body).hexdigest()


def _without_secrets(response: HttpResponse) -> str:
    """An answer that carries a new token is kept without it: what is shown once is stored nowhere."""
    text: str = response.content.decode()
    if '"token"' not in text:
        return text
    try:
        body = json.loads(text)
    except ValueError:
        return text
    if isinstance(body, dict) and isinstance(body.get("token"), str):
        body["token"] = "shown once"  # noqa: S105 - in place of one
    return json.dumps(body)
