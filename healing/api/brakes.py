"""The kill switch: halt automation, see what is halted, let it go on; and reset a workload's circuit breaker."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from django.db import transaction
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from healing.access import Capability
from healing.api.auth import ApiRequest, require
from healing.api.clusters import known_cluster
from healing.api.errors import Problem, declared
from healing.api.paging import MAX_LIMIT, page
from healing.approvals import halting
from healing.audit import Actor, record
from healing.models import CircuitReset, Halt

router = Router(tags=["brakes"])

Text = Annotated[str, Field(min_length=1, max_length=253)]


class HaltItem(Schema):
    """``cluster`` empty: everywhere."""

    id: int
    cluster: str
    reason: str
    created_at: datetime
    created_by: str


class HaltPage(Schema):
    """``next``: the cursor of the following page; null: this is the last."""

    items: list[HaltItem]
    next: str | None


class NewHalt(Schema):
    """``cluster`` empty: everywhere."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]
    cluster: Annotated[str, Field(max_length=63)] = ""


class Workload(Schema):
    """Whose circuit breaker is reset."""

    cluster: Text
    kind: Text
    namespace: Annotated[str, Field(max_length=63)]
    name: Text


@router.get("/halts", response={200: HaltPage, **declared(401, 422, 429)})
def list_halts(
    request: ApiRequest,
    cursor: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> HaltPage:
    """What is halted now, newest first."""
    found, following = page(Halt.objects.filter(lifted_at=None), "created_at", cursor, limit)
    return HaltPage(items=[HaltItem.from_orm(row) for row in found], next=following)


@router.post("/halts", response={201: HaltItem, **declared(400, 401, 403, 409, 422, 429)})
def halt(request: ApiRequest, new: NewHalt) -> Status[Halt]:
    """Nothing is done any more, not even what is queued or approved, until it is lifted."""
    cluster = known_cluster(new.cluster) if new.cluster else ""
    require(request.auth, Capability.OPERATE, cluster=cluster)
    row = Halt(cluster=cluster, reason=new.reason)
    try:
        halting.halt(row, by=request.auth.get_username(), actor=Actor.of_request(request))
    except halting.AlreadyHalted as error:
        raise Problem(HTTPStatus.CONFLICT, "halted", "It is halted already.") from error
    return Status(HTTPStatus.CREATED, row)


@router.delete("/halts/{halt_id}", response={204: None, **declared(401, 403, 404, 429)})
def lift(request: ApiRequest, halt_id: int) -> Status[None]:
    """Automation goes on."""
    row = Halt.objects.filter(pk=halt_id, lifted_at=None).first() if 0 < halt_id < 2**63 else None
    require(request.auth, Capability.ADMIN, cluster=row.cluster if row else "")
    if row is None or not halting.lift(row, by=request.auth.get_username(), actor=Actor.of_request(request)):
        raise Problem(HTTPStatus.NOT_FOUND, "not-found", "There is no such halt, or it is lifted already.")
    return Status(HTTPStatus.NO_CONTENT, None)


@router.post("/circuit-resets", response={204: None, **declared(400, 401, 403, 422, 429)})
def reset(request: ApiRequest, workload: Workload) -> Status[None]:
    """Healings of this workload that failed until now do not count any more."""
    cluster = known_cluster(workload.cluster)
    require(request.auth, Capability.ADMIN, cluster=cluster, namespace=workload.namespace)
    with transaction.atomic():
        row = CircuitReset.objects.create(
            cluster=cluster,
            kind=workload.kind,
            namespace=workload.namespace,
            name=workload.name,
            by=request.auth.get_username(),
        )
        actor = Actor.of_request(request)
        record("circuit.reset", actor=actor, target=str(row), cluster=cluster, namespace=workload.namespace)
    return Status(HTTPStatus.NO_CONTENT, None)
