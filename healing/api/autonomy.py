"""How much each policy may do by itself, and what its record says about more."""

from __future__ import annotations

from datetime import datetime

from ninja import Router
from pydantic import ValidationError

from healing.access import Capability, grants_of
from healing.api.auth import ApiRequest
from healing.api.errors import declared
from healing.api.schemas import CamelSchema
from healing.approvals.agreement import Agreement, advice, agreements
from healing.models import Policy
from healing.policies import first_day

router = Router(tags=["autonomy"], by_alias=True)


class AgreementItem(CamelSchema):
    """What people decided about proposals for one cause. ``atLeast``: lower bound of the share they agreed with."""

    cause: str
    cases: int
    agreed: int
    overridden: int
    rejected: int
    healed: int
    at_least: float
    is_justified: bool
    says: str


class AutonomyItem(CamelSchema):
    """One policy. ``observesUntil``: on a cluster's first day ReCiSt only watches; null: that is over or off."""

    policy_id: int
    policy: str
    cluster: str
    autonomy: str
    effective: str
    observes_until: datetime | None
    advice: str
    causes: list[AgreementItem]


class AutonomyList(CamelSchema):
    """All policies you may see."""

    items: list[AutonomyItem]


@router.get("", response={200: AutonomyList, **declared(401, 429)})
def list_autonomy(request: ApiRequest) -> AutonomyList:
    """Per policy: its autonomy, the record per cause of the last 90 days, and whether a step up is justified."""
    grants = grants_of(request.auth)
    items = []
    for policy in Policy.objects.all():
        try:
            spec = policy.parsed()
        except ValidationError:
            continue  # refused when it was read; the policy's row says why
        places = [{"cluster": policy.cluster, "namespace": name} for name in spec.target_namespaces]
        if not any(grants.may(Capability.VIEW, **place) for place in places):
            continue
        records = agreements(policy)
        until = first_day.ends_at(policy)
        items.append(
            AutonomyItem(
                policy_id=policy.pk,
                policy=str(policy),
                cluster=policy.cluster,
                autonomy=spec.autonomy,
                effective="observe" if until else spec.autonomy,
                observes_until=until,
                advice=advice(policy, records),
                causes=[_item(record) for record in records],
            )
        )
    return AutonomyList(items=items)


def _item(record: Agreement) -> AgreementItem:
    return AgreementItem(
        cause=record.cause,
        cases=record.cases,
        agreed=record.agreed,
        overridden=record.overridden,
        rejected=record.rejected,
        healed=record.healed,
        at_least=round(record.at_least, 4),
        is_justified=record.is_justified,
        says=record.says,
    )
