"""Insight: how many faults were healed, how fast, and where people saw it differently."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from django.http import HttpResponse
from django.utils import timezone
from ninja import Query, Router
from pydantic import Field

from healing.access import grants_of
from healing.api.auth import ApiRequest
from healing.api.errors import Problem, declared
from healing.api.schemas import CLUSTER, CamelSchema
from healing.dashboard.insight import export
from healing.dashboard.insight.numbers import Numbers, read
from healing.dashboard.insight.scope import MOST_DAYS, MOST_MINUTES, BadScope, Scope

router = Router(tags=["insight"], by_alias=True)

First = Annotated[str, Query(alias="from", max_length=10, description="A day in UTC, like 2031-05-04.")]
Last = Annotated[str, Query(alias="to", max_length=10, description="This day counts too; today.")]
Days = Annotated[int | None, Query(ge=1, le=MOST_DAYS, description="The last so many days, today among them: 30.")]
Cluster = Annotated[str, Query(max_length=63, pattern=CLUSTER)]
Namespace = Annotated[str, Query(max_length=63)]
Minutes = Annotated[int | None, Query(ge=1, le=MOST_MINUTES, description="What a fix by hand is assumed to take: 30.")]


class SpreadItem(CamelSchema):
    """Seconds: median and 95th percentile of ``n`` cases; null: of none."""

    n: int
    p50_seconds: float | None
    p95_seconds: float | None


class TallyItem(CamelSchema):
    """Events that have ended, by how. ``healing``: from detection to verified, without the time people took."""

    events: int
    healed: int
    healed_without_people: int
    recovered: int
    declined: int
    escalated: int
    failed: int
    healing: SpreadItem


class TotalItem(TallyItem):
    """``falseAlarms``: went away by themselves before anything was done about them."""

    told_by_people: int
    healed_by_hand: int
    false_alarms: int
    fixes_put_back: int
    undos_failed: int


class StepItem(TallyItem):
    """One step of the trend."""

    at: datetime


class InsightGroupItem(TallyItem):
    """Events that have ``key`` in common."""

    key: str


class Groups(CamelSchema):
    """The same events by what they have in common, the most frequent first, 200 at most."""

    cause: list[InsightGroupItem]
    namespace: list[InsightGroupItem]
    policy: list[InsightGroupItem]
    cluster: list[InsightGroupItem]


class SavedItem(CamelSchema):
    """Events healed without people times what one by hand is assumed to take."""

    minutes_per_fix: int
    hours: float


class PhaseFigures(SpreadItem):
    """One phase; ``withinBudget`` of ``n`` kept to it."""

    phase: str
    budget_seconds: float
    within_budget: int


class DisagreementItem(CamelSchema):
    """Proposals of one kind for one cause that people did not follow."""

    cause: str
    strategy: str
    decided: int
    overridden: int
    rejected: int
    edited: int
    taken_over: int
    last_event: str | None
    last_comment: str


class ApprovalFigures(CamelSchema):
    """Questions put to people; ``waiting``: until they answered."""

    asked: int
    approved: int
    overridden: int
    rejected: int
    edited: int
    taken_over: int
    expired: int
    waiting: SpreadItem
    disagreements: list[DisagreementItem]


class ForecastFigures(CamelSchema):
    """Warnings that ended; ``lead``: how long before it happened those that came true had stood."""

    came_true: int
    prevented: int
    went_away: int
    dismissed: int
    lead: SpreadItem


class Insight(CamelSchema):
    """Of events detected from ``from`` until before ``to``, at places that the caller may see."""

    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    cluster: str
    namespace: str
    step: Literal["hour", "day", "week"]
    open_now: int
    total: TotalItem
    saved: SavedItem
    phases: list[PhaseFigures]
    trend: list[StepItem]
    by: Groups
    approvals: ApprovalFigures
    forecasts: ForecastFigures


@router.get("", response={200: Insight, **declared(401, 422, 429)})
def get_insight(
    request: ApiRequest,
    days: Days = None,
    first: First = "",
    last: Last = "",
    cluster: Cluster = "",
    namespace: Namespace = "",
    minutes: Minutes = None,
) -> Insight:
    """The last 30 days unless `days`, or `from` and `to`, say otherwise."""
    return Insight.model_validate(export.document(_numbers(request)))


@router.get(
    "/export.csv",
    response=declared(401, 422, 429),
    openapi_extra={
        "responses": {
            200: {"description": "One number a row.", "content": {"text/csv": {"schema": {"type": "string"}}}}
        }
    },
)
def export_csv(
    request: ApiRequest,
    days: Days = None,
    first: First = "",
    last: Last = "",
    cluster: Cluster = "",
    namespace: Namespace = "",
    minutes: Minutes = None,
) -> HttpResponse:
    """The same as a table: section, key, measure, value."""
    numbers = _numbers(request)
    answer = HttpResponse(export.table(numbers), content_type="text/csv; charset=utf-8")
    name = f"recist-insight-{numbers.scope.start:%Y-%m-%d}-{numbers.scope.last_day:%Y-%m-%d}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _numbers(request: ApiRequest) -> Numbers:
    try:
        scope = Scope.parse(request.GET.dict(), timezone.now())
    except BadScope as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)) from error
    return read(scope, grants_of(request.auth))
