"""What other systems send here: alerts of Alertmanager. And what came of each."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from ninja import Query, Router
from ninja.responses import Status
from pydantic import Field

from healing import dispatch
from healing.access import Capability, grants_of
from healing.api.auth import ApiRequest, Basic, WebhookBearer, require
from healing.api.clusters import known_cluster
from healing.api.errors import declared
from healing.api.limits import PerWebhook
from healing.api.paging import MAX_LIMIT, page
from healing.api.schemas import CLUSTER, CamelSchema
from healing.detection import alertmanager
from healing.models import ReceivedAlert

router = Router(tags=["webhooks"], by_alias=True)

ClusterName = Annotated[str, Query(max_length=63, pattern=CLUSTER)]


class Taken(CamelSchema):
    """What a delivery brought."""

    received: int
    new: int = Field(description="Alerts that were not known.")
    changed: int = Field(description="Known ones that are resolved now.")


class AlertItem(CamelSchema):
    """A delivered alert and what came of it."""

    id: int
    cluster: str
    name: str
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    is_firing: bool
    starts_at: datetime
    ends_at: datetime | None
    state: str
    reason: str
    target: dict[str, Any]
    event: str = Field(description="Name of the event it belongs to; empty: none.")
    deliveries: int
    last_received_at: datetime


class AlertPage(CamelSchema):
    """Alerts, the one delivered last first."""

    items: list[AlertItem]
    next: str | None = Field(description="Cursor of the next page; null: this is the last.")


@router.post(
    "/alertmanager",
    response={202: Taken, **declared(400, 401, 403, 413, 422, 429)},
    auth=[WebhookBearer(), Basic()],
    throttle=[PerWebhook()],
)
def alertmanager_webhook(
    request: ApiRequest, payload: alertmanager.Payload, cluster: ClusterName = ""
) -> Status[Taken]:
    """Alertmanager's webhook (payload version 4). Send a token with the scope `webhooks` as a bearer. Delivering the
    same again changes nothing. `cluster`: what the alerts are about, where their label `cluster` does not say it."""
    if getattr(request, "token", None) is None:
        require(request.auth, Capability.OPERATE)
    stored = alertmanager.store(payload, known_cluster(cluster) if cluster else "")
    if stored.new or stored.changed:
        dispatch.after_commit("alerts", dispatch.send_alerts)
    return Status(HTTPStatus.ACCEPTED, Taken(received=stored.received, new=stored.new, changed=stored.changed))


@router.get("/alerts", response={200: AlertPage, **declared(401, 403, 422, 429)})
def list_alerts(
    request: ApiRequest,
    state: Literal["any", "pending", "matched", "unmatched", "uncovered", "left-alone", "ignored"] = "any",
    firing: bool | None = None,  # noqa: FBT001 - a query parameter
    cluster: ClusterName = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> AlertPage:
    """What Alertmanager delivered, and what came of it: `unmatched` are about nothing that is known here."""
    rows = ReceivedAlert.objects.select_related("event")
    if cluster:
        rows = rows.filter(cluster=cluster)
    if state != "any":
        rows = rows.filter(state=state)
    if firing is not None:
        rows = rows.filter(is_firing=firing)
    rows = rows.filter(grants_of(request.auth).places(Capability.VIEW, namespace="target__namespace"))
    found, following = page(rows, "last_received_at", cursor, limit)
    return AlertPage(items=[_item(row) for row in found], next=following)


def _item(row: ReceivedAlert) -> AlertItem:
    values = {name: getattr(row, name) for name in AlertItem.model_fields if name != "event"}
    return AlertItem(event=row.event.name if row.event else "", **values)
