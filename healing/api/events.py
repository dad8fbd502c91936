"""Events: list, read, and faults that people report."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from django.conf import settings
from django.db import transaction
from django.http import Http404
from ninja import Query, Router
from ninja.responses import Status

from healing import audit, engine
from healing.access import Capability, grants_of
from healing.api import convert
from healing.api.auth import ApiRequest, require
from healing.api.clusters import known_cluster
from healing.api.errors import Problem, declared
from healing.api.paging import MAX_LIMIT, page
from healing.api.schemas import EventDetail, EventItem, EventPage, Report
from healing.dashboard.event_view import load_event
from healing.event_filters import BadFilter, EventFilter
from healing.faults import Fault, Severity, SignalSource
from healing.models import HealingEvent, Policy
from healing.policies.select import select, select_for_node
from healing.ports import get_ports
from healing.ports.cluster import ObjectRef
from healing.ports.errors import NotFound, SourceError

router = Router(tags=["events"], by_alias=True)

REPORTABLE = ("Deployment", "StatefulSet", "DaemonSet", "Service", "Node")
REPORTED = "ReportedByPerson"
_CLUSTER_SECONDS = 4.0


@router.get("", response={200: EventPage, **declared(401, 422, 429)})
def list_events(
    request: ApiRequest,
    namespace: str = "",
    phase: str = "",
    outcome: str = "",
    text: str = "",
    cluster: str = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> EventPage:
    """Newest first. `text`: every word has to occur in name, target, symptom, cause or message."""
    try:
        filters = EventFilter.parse(
            {"namespace": namespace, "phase": phase, "outcome": outcome, "text": text, "cluster": cluster}
        )
    except BadFilter as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)) from error
    events, following = page(
        filters.apply(
            HealingEvent.objects.filter(grants_of(request.auth).places(Capability.VIEW)).defer(
                "diagnosis", "signals", "policy_snapshot"
            )
        ),
        "detected_at",
        cursor,
        limit,
    )
    return EventPage(items=[convert.event_item(event) for event in events], next=following)


@router.get("/{name}", response={200: EventDetail, **declared(401, 404, 429)})
def get_event(request: ApiRequest, name: str) -> EventDetail:
    """One event with phases, timeline, diagnosis, strategies, approvals and actions."""
    view = load_event(name, request.auth) if "\0" not in name else None
    if view is None:
        raise Http404("There is no event of that name.")
    return convert.event_detail(view)


@router.post("", response={201: EventItem, 200: EventItem, **declared(400, 401, 403, 404, 413, 422, 429, 503)})
def report_fault(request: ApiRequest, report: Report) -> Status[EventItem]:
    """Report a fault that a person has seen. 201: a new event; 200: it was added to the event that is open."""
    _check_target(report)
    cluster = known_cluster(report.cluster)
    require(request.auth, Capability.OPERATE, cluster=cluster, namespace=report.target.namespace)
    try:
        target, labels = _look_up(report, cluster)
        policy = _policy_for(target, labels, cluster)
    except NotFound as error:
        detail = f"{_cluster(cluster)} has no {report.target.kind} of that name."
        raise Problem(HTTPStatus.NOT_FOUND, "not-found", detail) from error
    except SourceError as error:
        detail = f"{_cluster(cluster)} could not be asked about it, so nothing was recorded: {error}"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "cluster-unavailable", detail) from error
    if policy is None:
        where = f"namespace {target.namespace}" if target.namespace else "that node"
        detail = f"No enabled policy covers {target}, so nothing may be done about it. Add a policy for {where} first."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "not-covered", detail)
    fault = Fault(
        cluster=cluster,
        target=target,
        symptom=REPORTED,
        message=f"{request.auth.get_username()}: {' '.join(report.message.split())}",
        severity=Severity(report.severity),
        source=SignalSource.PERSON,
        observed_at=datetime.now(UTC),
        data={"reportedBy": request.auth.get_username()},
    )
    with transaction.atomic():
        event, is_new = engine.open_event(fault, policy)
        audit.record(
            "event.reported",
            actor=audit.Actor.of_request(request),
            target=event.name,
            cluster=cluster,
            namespace=target.namespace,
            data={"target": str(target), "message": report.message, "new": is_new},
        )
    return Status(HTTPStatus.CREATED if is_new else HTTPStatus.OK, convert.event_item(event))


def _cluster(name: str) -> str:
    """As a sentence's subject; the name says nothing where there is only one."""
    return "The cluster" if len(settings.CLUSTERS) == 1 else f"The cluster {name}"


def _check_target(report: Report) -> None:
    name = report.target
    if name.kind not in REPORTABLE:
        detail = f"target.kind: {name.kind!r} cannot be reported; name a {', '.join(REPORTABLE)}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail)
    if (name.kind == "Node") == bool(name.namespace):
        detail = "target.namespace: a Node has none, everything else has one"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail)


def _look_up(report: Report, cluster_name: str) -> tuple[ObjectRef, dict[str, str]]:
    """The live object's identity and labels: nobody can report what is not there."""
    name = report.target
    cluster = get_ports(cluster_name).cluster
    found: dict[str, Any] = cluster.get(name.kind, name.namespace, name.name, timeout_seconds=_CLUSTER_SECONDS)
    return ObjectRef.of(found, name.kind), dict(found["metadata"].get("labels") or {})


def _policy_for(target: ObjectRef, labels: dict[str, str], cluster_name: str) -> Policy | None:
    policies = Policy.usable(cluster_name)
    if target.kind != "Node":
        return select(policies, target.namespace, labels)
    pods = get_ports(cluster_name).cluster.list(
        "Pod", field_selector=f"spec.nodeName={target.name}", timeout_seconds=_CLUSTER_SECONDS
    )
    return select_for_node(policies, {str(pod["metadata"].get("namespace", "")) for pod in pods.items})
