"""Events taken over by hand, and actions taken back."""

from __future__ import annotations

from django.http import Http404
from ninja import Router

from healing.access import Capability, grants_of
from healing.api.auth import ApiRequest
from healing.api.decision_schemas import Fix, TakeBack, TakeOver, TakeoverItem
from healing.api.decisions import deciding, line
from healing.api.errors import declared
from healing.api.schemas import ActionItem
from healing.approvals import takeover, undo
from healing.audit import Actor
from healing.models import ActionRun, HealingEvent, Takeover

router = Router(tags=["events"], by_alias=True)

_TAKEOVER = {200: TakeoverItem, **declared(400, 401, 403, 404, 409, 413, 422, 429)}


@router.post("/{name}/take-over", response=_TAKEOVER)
def take_over(request: ApiRequest, name: str, wanted: TakeOver) -> TakeoverItem:
    """Automation stops for this event until it is given back, fixed or well."""
    event, actor = _find(request, name), Actor.of_request(request)
    reason = line(wanted.reason)
    return _item(deciding(lambda: takeover.take_over(event.pk, by=request.auth, reason=reason, actor=actor)), event)


@router.post("/{name}/give-back", response=_TAKEOVER)
def give_back(request: ApiRequest, name: str, wanted: TakeOver) -> TakeoverItem:
    """Automation goes on."""
    event, actor = _find(request, name), Actor.of_request(request)
    reason = line(wanted.reason)
    return _item(deciding(lambda: takeover.give_back(event.pk, by=request.auth, reason=reason, actor=actor)), event)


@router.post("/{name}/fixed", response=_TAKEOVER)
def fixed(request: ApiRequest, name: str, fix: Fix) -> TakeoverItem:
    """ "I fixed it": verified like any fix."""
    event, actor = _find(request, name), Actor.of_request(request)
    what = line(fix.what)
    return _item(deciding(lambda: takeover.fixed(event.pk, by=request.auth, what=what, actor=actor)), event)


@router.post(
    "/{name}/actions/{action_id}/undo",
    response={200: ActionItem, **declared(400, 401, 403, 404, 409, 413, 422, 429)},
)
def undo_action(request: ApiRequest, name: str, action_id: int, wanted: TakeBack) -> ActionRun:
    """Take an action back: what was found before it is put back. A worker does it; the event says how it ended."""
    event, actor = _find(request, name), Actor.of_request(request)
    if not 0 < action_id < 2**63 or not event.actions.filter(pk=action_id).exists():
        raise Http404("There is no such action of this event.")
    reason = line(wanted.reason)
    return deciding(lambda: undo.ask(action_id, by=request.auth, reason=reason, actor=actor))


def _find(request: ApiRequest, name: str) -> HealingEvent:
    seen = HealingEvent.objects.filter(grants_of(request.auth).places(Capability.VIEW))
    event = seen.filter(name=name).first() if "\0" not in name else None
    if event is None:
        raise Http404("There is no event of that name.")
    return event


def _item(row: Takeover, event: HealingEvent) -> TakeoverItem:
    return TakeoverItem(
        event=event.name,
        by=row.by_name,
        reason=row.reason,
        at=row.at,
        claimed_at=row.claimed_at,
        fix=row.fix,
        ended_at=row.ended_at,
        end=row.end,
    )
