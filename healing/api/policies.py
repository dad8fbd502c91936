"""Policies: read, make, change, delete. Those of a SelfHealingPolicy resource belong to the resource."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from django.db import IntegrityError, transaction
from django.http import Http404
from ninja import Query, Router
from ninja.responses import Status

from healing.api import convert
from healing.api.auth import ApiRequest, require_permission
from healing.api.clusters import known_cluster
from healing.api.errors import Problem, declared
from healing.api.schemas import CLUSTER, NewPolicy, PolicyChange, PolicyItem, PolicyList
from healing.models import Policy

router = Router(tags=["policies"], by_alias=True)


@router.get("", response={200: PolicyList, **declared(401, 422, 429)})
def list_policies(
    request: ApiRequest, cluster: Annotated[str, Query(max_length=63, pattern=CLUSTER)] = ""
) -> PolicyList:
    """All of them, or those of one cluster: there are few."""
    rows = Policy.objects.filter(cluster=cluster) if cluster else Policy.objects.all()
    return PolicyList(items=[convert.policy_item(policy) for policy in rows])


@router.post("", response={201: PolicyItem, **declared(400, 401, 403, 409, 413, 422, 429)})
def create_policy(request: ApiRequest, policy: NewPolicy) -> Status[PolicyItem]:
    """Make a policy in this app."""
    require_permission(request.auth, "healing.add_policy", "make policies")
    try:
        with transaction.atomic():
            row = Policy.objects.create(
                cluster=known_cluster(policy.cluster),
                namespace=policy.namespace,
                name=policy.name,
                enabled=policy.enabled,
                spec=policy.spec.as_json(),
                source=Policy.Source.ADMIN,
            )
    except IntegrityError as error:
        raise Problem(
            HTTPStatus.CONFLICT, "exists", "There is a policy of that name already: change that one."
        ) from error
    return Status(HTTPStatus.CREATED, convert.policy_item(row))


@router.get("/{policy_id}", response={200: PolicyItem, **declared(401, 404, 422, 429)})
def get_policy(request: ApiRequest, policy_id: int) -> PolicyItem:
    """One policy."""
    return convert.policy_item(_find(policy_id))


@router.put("/{policy_id}", response={200: PolicyItem, **declared(400, 401, 403, 404, 409, 413, 422, 429)})
def update_policy(request: ApiRequest, policy_id: int, change: PolicyChange) -> PolicyItem:
    """Replace the policy's content."""
    require_permission(request.auth, "healing.change_policy", "change policies")
    with transaction.atomic():
        policy = _own(policy_id)
        policy.enabled = change.enabled
        policy.spec = change.spec.as_json()
        policy.error = ""
        policy.save()
    return convert.policy_item(policy)


@router.delete("/{policy_id}", response={204: None, **declared(401, 403, 404, 409, 422, 429)})
def delete_policy(request: ApiRequest, policy_id: int) -> Status[None]:
    """Open events keep the policy as it was when they were opened."""
    require_permission(request.auth, "healing.delete_policy", "delete policies")
    with transaction.atomic():
        _own(policy_id).delete()
    return Status(HTTPStatus.NO_CONTENT, None)


def _own(policy_id: int) -> Policy:
    """The policy, locked, if it may be written here."""
    policy = _find(policy_id, lock=True)
    if policy.source == Policy.Source.CLUSTER:
        where = f" -n {policy.namespace}" if policy.namespace else ""
        detail = (
            "This policy is owned by its SelfHealingPolicy resource, which would win over a change made here. "
            f"Change it there: kubectl edit shp {policy.name}{where}"
        )
        raise Problem(HTTPStatus.CONFLICT, "owned-by-cluster", detail)
    return policy


def _find(policy_id: int, *, lock: bool = False) -> Policy:
    rows = Policy.objects.select_for_update() if lock else Policy.objects.all()
    policy = rows.filter(pk=policy_id).first() if 0 < policy_id < 2**63 else None
    if policy is None:
        raise Http404("There is no such policy.")
    return policy
