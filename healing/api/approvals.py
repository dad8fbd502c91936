"""Approvals: read and decide. A decision names the digest of the plan it is about; the second one gets 409."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import Http404
from ninja import Query, Router

from healing.access import Capability, grants_of
from healing.api import convert
from healing.api.auth import ApiRequest
from healing.api.decision_schemas import (
    ApproveGroup,
    Edit,
    GroupItem,
    GroupList,
    GroupResult,
    GroupResults,
    Hold,
)
from healing.api.decisions import deciding, line
from healing.api.errors import Problem, declared
from healing.api.paging import MAX_LIMIT, page
from healing.api.schemas import CLUSTER, ApprovalItem, ApprovalPage, Approve, Override, Reject
from healing.approvals import bulk, holds, service
from healing.audit import Actor
from healing.models import Approval

router = Router(tags=["approvals"], by_alias=True)

State = Literal["open", "approved", "rejected", "overridden", "edited", "taken", "expired", "stale", "any"]
_DECISION = {200: ApprovalItem, **declared(400, 401, 403, 404, 409, 413, 422, 429)}


@router.get("", response={200: ApprovalPage, **declared(401, 422, 429)})
def list_approvals(
    request: ApiRequest,
    state: State = "open",
    cluster: Annotated[str, Query(max_length=63, pattern=CLUSTER)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> ApprovalPage:
    """Newest first; those that wait for a decision unless `state` says otherwise. Only of events you may see."""
    rows = _visible(request)
    if cluster:
        rows = rows.filter(event__cluster=cluster)
    found, following = page(rows if state == "any" else rows.filter(state=state), "created_at", cursor, limit)
    return ApprovalPage(items=[convert.approval_item(approval) for approval in found], next=following)


@router.get("/groups", response={200: GroupList, **declared(401, 429)})
def list_groups(request: ApiRequest) -> GroupList:
    """Open approvals grouped by cause and strategy; a group's plans are in its events."""
    return GroupList(
        items=[
            GroupItem(
                cluster=group.cluster,
                cause=group.cause,
                strategy=group.strategy,
                digest=group.digest,
                approvals=[convert.approval_item(approval) for approval in group.approvals],
            )
            for group in bulk.groups(request.auth)
        ]
    )


@router.post("/groups/approve", response={200: GroupResults, **declared(400, 401, 403, 409, 413, 422, 429)})
def approve_group(request: ApiRequest, decision: ApproveGroup) -> GroupResults:
    """Approve each; 200 with what became of each of them, even if some could not be approved."""
    if not grants_of(request.auth).may_somewhere(Capability.DECIDE):
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", "You may decide nowhere: ask an admin for the role approver.")
    ids = [pk for pk in decision.approvals if 0 < pk < 2**63]
    if len(ids) != len(decision.approvals):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "approvals: an id is a positive number")
    results = deciding(
        lambda: bulk.approve_all(
            ids,
            by=request.auth,
            group_digest=decision.digest,
            comment=line(decision.comment),
            actor=Actor.of_request(request),
        )
    )
    items = [
        GroupResult(approval=r.approval.pk, event=r.approval.event.name, state=r.state, error=r.error) for r in results
    ]
    failed = sum(bool(item.error) for item in items)
    return GroupResults(approved=len(items) - failed, failed=failed, items=items)


@router.get("/{approval_id}", response={200: ApprovalItem, **declared(401, 404, 422, 429)})
def get_approval(request: ApiRequest, approval_id: int) -> ApprovalItem:
    """One approval; its strategy's exact plan is in the event."""
    return convert.approval_item(_find(request, approval_id))


@router.post("/{approval_id}/approve", response=_DECISION)
def approve(request: ApiRequest, approval_id: int, decision: Approve) -> ApprovalItem:
    """Agree with the proposed strategy. It runs when as many different people agree as `required` says; until then
    the state stays open."""
    _find(request, approval_id)
    comment = line(decision.comment)
    deciding(lambda: service.approve(approval_id, digest=decision.digest, comment=comment, **_by(request)))
    return convert.approval_item(_find(request, approval_id))


@router.post("/{approval_id}/reject", response=_DECISION)
def reject(request: ApiRequest, approval_id: int, decision: Reject) -> ApprovalItem:
    """Nothing is done."""
    _find(request, approval_id)
    deciding(lambda: service.reject(approval_id, comment=line(decision.comment), **_by(request)))
    return convert.approval_item(_find(request, approval_id))


@router.post("/{approval_id}/override", response=_DECISION)
def override(request: ApiRequest, approval_id: int, decision: Override) -> ApprovalItem:
    """Choose another strategy of the same attempt. Where the policy asks for approval of it, somebody else has to give
    it: the event then has a new open approval."""
    _find(request, approval_id)
    deciding(
        lambda: service.override(
            approval_id,
            strategy_id=decision.strategy_id,
            digest=decision.digest,
            comment=line(decision.comment),
            **_by(request),
        )
    )
    return convert.approval_item(_find(request, approval_id))


@router.post("/{approval_id}/edit", response=_DECISION)
def edit(request: ApiRequest, approval_id: int, decision: Edit) -> ApprovalItem:
    """Change the plan's parameters. It is planned anew against the cluster, and asked about as a new approval."""
    _find(request, approval_id)
    deciding(
        lambda: service.edit(
            approval_id,
            parameters=decision.parameters,
            digest=decision.digest,
            strategy_id=decision.strategy_id,
            comment=line(decision.comment),
            **_by(request),
        )
    )
    return convert.approval_item(_find(request, approval_id))


@router.post("/{approval_id}/hold", response=_DECISION)
def hold(request: ApiRequest, approval_id: int, wanted: Hold) -> ApprovalItem:
    """Nobody can let it run and it does not expire, for a while."""
    _find(request, approval_id)
    deciding(lambda: holds.hold(approval_id, seconds=wanted.seconds, reason=line(wanted.reason), **_by(request)))
    return convert.approval_item(_find(request, approval_id))


@router.delete("/{approval_id}/hold", response={200: ApprovalItem, **declared(401, 403, 404, 409, 422, 429)})
def end_hold(request: ApiRequest, approval_id: int) -> ApprovalItem:
    """End a hold before its time."""
    _find(request, approval_id)
    deciding(lambda: holds.end_hold(approval_id, **_by(request)))
    return convert.approval_item(_find(request, approval_id))


def _by(request: ApiRequest) -> dict[str, Any]:
    return {"by": request.auth, "actor": Actor.of_request(request)}


def _visible(request: ApiRequest) -> QuerySet[Approval]:
    places = grants_of(request.auth).places(
        Capability.VIEW, cluster="event__cluster", namespace="event__target_namespace"
    )
    return Approval.objects.filter(places).select_related("event", "strategy").prefetch_related("votes")


def _find(request: ApiRequest, approval_id: int) -> Approval:
    approval = _visible(request).filter(pk=approval_id).first() if 0 < approval_id < 2**63 else None
    if approval is None:
        raise Http404("There is no such approval.")
    return approval
