"""Pages by cursor: stable while rows are added, and cheap however far one reads."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from healing.api.errors import Problem

M = TypeVar("M", bound=Model)
MAX_LIMIT = 200


def page(rows: QuerySet[M], column: str, cursor: str, limit: int) -> tuple[list[M], str | None]:
    """``limit`` rows after ``cursor``, newest first by ``column`` and key, and the cursor of the next page."""
    if cursor:
        at, pk = _read(cursor)
        rows = rows.filter(Q(**{f"{column}__lt": at}) | Q(**{column: at, "pk__lt": pk}))
    found = list(rows.order_by(f"-{column}", "-pk")[: limit + 1])
    if len(found) <= limit:
        return found, None
    return found[:limit], _write(found[limit - 1], column)


def _write(row: Model, column: str) -> str:
    at: datetime = getattr(row, column)
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), row.pk]).encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[datetime, int]:
    try:
        value: Any = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        at, pk = datetime.fromisoformat(value[0]), value[1]
    except (ValueError, TypeError, LookupError, binascii.Error, RecursionError) as error:
        raise _bad() from error
    if not isinstance(pk, int) or isinstance(pk, bool) or not 0 <= pk < 2**63 or at.tzinfo is None:
        raise _bad()
    return at, pk


def _bad() -> Problem:
    text = "cursor: use the value of `next` from the page before, unchanged"
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", text, errors=[{"field": "cursor", "message": text.split(": ")[1]}]
    )
