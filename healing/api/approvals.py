"""Approvals: read and decide. A decision names the digest of the plan it is about; the second one gets 409."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal

from django.http import Http404
from ninja import Query, Router

from healing.api import convert
from healing.api.auth import ApiRequest, require_decider
from healing.api.errors import Problem, declared
from healing.api.paging import MAX_LIMIT, page
from healing.api.schemas import CLUSTER, ApprovalItem, ApprovalPage, Approve, Override, Reject
from healing.approvals import service
from healing.engine import WrongPhase
from healing.models import Approval

router = Router(tags=["approvals"], by_alias=True)

State = Literal["open", "approved", "rejected", "overridden", "expired", "stale", "any"]
_DECISION = {200: ApprovalItem, **declared(400, 401, 403, 404, 409, 413, 422, 429)}


@router.get("", response={200: ApprovalPage, **declared(401, 422, 429)})
def list_approvals(
    request: ApiRequest,
    state: State = "open",
    cluster: Annotated[str, Query(max_length=63, pattern=CLUSTER)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> ApprovalPage:
    """Newest first; those that wait for a decision unless `state` says otherwise."""
    rows = Approval.objects.select_related("event", "strategy")
    if cluster:
        rows = rows.filter(event__cluster=cluster)
    found, following = page(rows if state == "any" else rows.filter(state=state), "created_at", cursor, limit)
    return ApprovalPage(items=[convert.approval_item(approval) for approval in found], next=following)


@router.get("/{approval_id}", response={200: ApprovalItem, **declared(401, 404, 422, 429)})
def get_approval(request: ApiRequest, approval_id: int) -> ApprovalItem:
    """One approval; its strategy's exact plan is in the event."""
    return convert.approval_item(_find(approval_id))


@router.post("/{approval_id}/approve", response=_DECISION)
def approve(request: ApiRequest, approval_id: int, decision: Approve) -> ApprovalItem:
    """Let the proposed strategy run."""
    user = request.auth
    return _decide(
        request,
        approval_id,
        lambda: service.approve(approval_id, by=user, digest=decision.digest, comment=_line(decision.comment)),
    )


@router.post("/{approval_id}/reject", response=_DECISION)
def reject(request: ApiRequest, approval_id: int, decision: Reject) -> ApprovalItem:
    """Nothing is done."""
    user = request.auth
    return _decide(request, approval_id, lambda: service.reject(approval_id, by=user, comment=_line(decision.comment)))


@router.post("/{approval_id}/override", response=_DECISION)
def override(request: ApiRequest, approval_id: int, decision: Override) -> ApprovalItem:
    """Run another strategy of the same attempt."""
    user = request.auth
    return _decide(
        request,
        approval_id,
        lambda: service.override(
            approval_id,
            by=user,
            strategy_id=decision.strategy_id,
            digest=decision.digest,
            comment=_line(decision.comment),
        ),
    )


def _decide(request: ApiRequest, approval_id: int, decide: Callable[[], Approval]) -> ApprovalItem:
    require_decider(request.auth)
    _find(approval_id)
    try:
        decide()
    except service.AlreadyDecided as error:
        first = error.approval
        raise Problem(
            HTTPStatus.CONFLICT,
            "already-decided",
            str(error),
            state=first.state,
            decidedBy=first.decided_by_name,
            decidedAt=_time(first.decided_at),
        ) from error
    except service.PlanChanged as error:
        raise Problem(HTTPStatus.CONFLICT, "plan-changed", str(error)) from error
    except WrongPhase as error:
        raise Problem(HTTPStatus.CONFLICT, "moved-on", f"There is nothing to decide any more: {error}") from error
    except service.DecisionError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "refused", str(error)) from error
    return convert.approval_item(_find(approval_id))


def _find(approval_id: int) -> Approval:
    approval = None
    if 0 < approval_id < 2**63:
        approval = Approval.objects.select_related("event", "strategy").filter(pk=approval_id).first()
    if approval is None:
        raise Http404("There is no such approval.")
    return approval


def _time(at: datetime | None) -> str | None:
    """As everywhere in the API: milliseconds, Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def _line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())
