"""Warnings before the wound: list, have a fix prepared, dismiss."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from healing.access import Capability, grants_of, why_not
from healing.api.auth import ApiRequest
from healing.api.errors import Problem, declared
from healing.api.paging import MAX_LIMIT, page
from healing.api.schemas import CLUSTER
from healing.audit import Actor
from healing.forecasting import acting
from healing.models import ProactiveWarning

router = Router(tags=["warnings"])

State = Literal["open", "suspected", "cleared", "cameTrue", "prevented", "dismissed", "any"]
_CHANGE = declared(400, 401, 403, 404, 409, 422, 429)


class WarningItem(Schema):
    """``level``, ``limit`` and ``slopePerSecond`` are in ``unit``; ``breachLatestAt`` null: it may never come."""

    id: int
    cluster: str
    kind: str
    namespace: str
    object_kind: str
    object_name: str
    part: str
    state: str
    state_reason: str
    message: str
    unit: str
    level: float
    limit: float
    slope_per_second: float
    confidence: float
    breach_at: datetime
    breach_earliest_at: datetime
    breach_latest_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    event: str | None

    @staticmethod
    def resolve_event(row: ProactiveWarning) -> str | None:
        """The name of the event that was prepared."""
        return row.event.name if row.event else None


class WarningPage(Schema):
    """``next``: the cursor of the following page; null: this is the last."""

    items: list[WarningItem]
    next: str | None


class Dismissal(Schema):
    """Why nothing is to be done."""

    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


class Prepared(Schema):
    """The event that was opened, or that there was."""

    event: str


@router.get("", response={200: WarningPage, **declared(401, 422, 429)})
def list_warnings(
    request: ApiRequest,
    state: State = "open",
    cluster: Annotated[str, Query(max_length=63, pattern=CLUSTER)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> WarningPage:
    """Newest first; those that are open unless `state` says otherwise."""
    rows = _visible(request)
    if cluster:
        rows = rows.filter(cluster=cluster)
    found, following = page(rows if state == "any" else rows.filter(state=state), "opened_at", cursor, limit)
    return WarningPage(items=[WarningItem.from_orm(row) for row in found], next=following)


@router.get("/{warning_id}", response={200: WarningItem, **declared(401, 404, 422, 429)})
def get_warning(request: ApiRequest, warning_id: int) -> ProactiveWarning:
    """One warning."""
    return _find(request, warning_id)


@router.post("/{warning_id}/prepare", response={200: Prepared, **_CHANGE})
def prepare(request: ApiRequest, warning_id: int) -> Prepared:
    """Open an event whose fix is argued, shown and approved like any other."""
    row = _may_operate(request, warning_id)
    try:
        event = acting.prepare(row.pk, actor=Actor.of_request(request), now=timezone.now())
    except acting.CannotPrepare as error:
        raise Problem(HTTPStatus.CONFLICT, "cannot-prepare", str(error)) from error
    return Prepared(event=event.name)


@router.post("/{warning_id}/dismiss", response={200: WarningItem, **_CHANGE})
def dismiss(request: ApiRequest, warning_id: int, decision: Dismissal) -> ProactiveWarning:
    """Nothing is to be done; it comes back after six hours if it goes on."""
    row = _may_operate(request, warning_id)
    reason = " ".join(decision.reason.replace("\0", "").split())
    try:
        acting.dismiss(row.pk, actor=Actor.of_request(request), reason=reason, now=timezone.now())
    except acting.CannotPrepare as error:
        raise Problem(HTTPStatus.CONFLICT, "closed", str(error)) from error
    return _find(request, warning_id)


def _visible(request: ApiRequest) -> QuerySet[ProactiveWarning]:
    places = grants_of(request.auth).places(Capability.VIEW, namespace="namespace")
    return ProactiveWarning.objects.filter(places).select_related("event")


def _find(request: ApiRequest, warning_id: int) -> ProactiveWarning:
    row: ProactiveWarning | None = None
    if 0 < warning_id < 2**63:
        row = _visible(request).filter(pk=warning_id).first()
    if row is None:
        raise Http404("There is no such warning.")
    return row


def _may_operate(request: ApiRequest, warning_id: int) -> ProactiveWarning:
    row = _find(request, warning_id)
    if refusal := why_not(request.auth, Capability.OPERATE, cluster=row.cluster, namespace=row.namespace):
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", refusal)
    return row
