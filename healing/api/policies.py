"""Policies: read, try out, make, change, restore, delete. A change goes to the policy's resource first."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any

from django.http import Http404, HttpResponse
from ninja import Query, Router
from ninja.responses import Status
from pydantic import ValidationError

from healing.access import grants_of
from healing.api.auth import ApiRequest
from healing.api.clusters import known_cluster
from healing.api.errors import Problem, declared, field_errors
from healing.api.paging import MAX_LIMIT, page
from healing.api.policy_schemas import (
    Draft,
    FieldChangeItem,
    JudgementItem,
    MatchItem,
    NewPolicy,
    PolicyChange,
    PolicyItem,
    PolicyList,
    PolicyPatch,
    PreviewItem,
    ReplayItem,
    ReplayPart,
    ReplayRow,
    Restore,
    RevisionItem,
    RevisionList,
    Turn,
)
from healing.api.schemas import CLUSTER
from healing.audit import Actor
from healing.models import Policy
from healing.policies.difference import merge
from healing.policies.spec import PolicySpec
from healing.policy_changes import service
from healing.policy_changes.errors import ChangeRefused, ClusterAway, ClusterRefused, Conflicts, Gone, Stale
from healing.policy_changes.judging import Judgement
from healing.policy_changes.preview import preview
from healing.policy_changes.replay import Replay, replay_evaluation, replay_events
from healing.policy_changes.rights import may_see, why_not_change

router = Router(tags=["policies"], by_alias=True)

_REVISIONS = 200
_READ = declared(401, 404, 422, 429)
_WRITE = declared(400, 401, 403, 404, 409, 412, 413, 422, 424, 428, 429)


@router.get("", response={200: PolicyList, **declared(401, 422, 429)})
def list_policies(
    request: ApiRequest,
    cluster: Annotated[str, Query(max_length=63, pattern=CLUSTER)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> PolicyList:
    """Newest first; all that you may see, or those of one cluster."""
    rows = Policy.objects.filter(cluster=cluster) if cluster else Policy.objects.all()
    grants = grants_of(request.auth)
    # Which namespaces a policy is about is in its spec, which no two databases search alike.
    seen = [policy.pk for policy in rows.only("cluster", "spec") if may_see(grants, policy)]
    found, following = page(Policy.objects.filter(pk__in=seen), "created_at", cursor, limit)
    return PolicyList(items=[_item(policy) for policy in found], next=following)


@router.post("", response={201: PolicyItem, **_WRITE})
def create_policy(request: ApiRequest, response: HttpResponse, policy: NewPolicy) -> Status[PolicyItem]:
    """Make a policy, and its resource."""
    cluster = known_cluster(policy.cluster)
    _require(request, cluster, policy.spec.target_namespaces)
    place = service.Place(cluster, policy.namespace, policy.name)
    try:
        made = service.create(place, policy.spec, enabled=policy.enabled, actor=Actor.of_request(request))
    except ChangeRefused as error:
        raise _problem(error) from error
    return Status(HTTPStatus.CREATED, _answer(response, made.policy))


@router.post("/preview", response={200: PreviewItem, **declared(400, 401, 413, 422, 429)})
def preview_policy(request: ApiRequest, draft: Draft) -> PreviewItem:
    """Which workloads the draft covers now. Nothing is saved."""
    found = preview(known_cluster(draft.cluster), draft.spec, policy_id=draft.policy_id)
    return PreviewItem(
        matches=[
            MatchItem(kind=m.kind, namespace=m.namespace, name=m.name, replicas=m.replicas, governed_by=m.governed_by)
            for m in found.shown
        ],
        total=len(found.matches),
        missing_namespaces=list(found.missing_namespaces),
        problems=list(found.problems),
    )


@router.post("/replay", response={200: ReplayItem, **declared(400, 401, 404, 413, 422, 429)})
def replay_policy(request: ApiRequest, draft: Draft) -> ReplayItem:
    """What the draft would have done to the last 100 events and to the recorded evaluation. Nothing is saved."""
    cluster, old = known_cluster(draft.cluster), None
    if draft.policy_id is not None:
        policy = _find(draft.policy_id)
        cluster, old = policy.cluster, _spec_of(policy)
    labels = preview(cluster, draft.spec, policy_id=draft.policy_id).labels
    events = replay_events(cluster, draft.spec, enabled=draft.enabled, policy_id=draft.policy_id, labels=labels)
    return ReplayItem(events=_part(events), evaluation=_part(replay_evaluation(old, draft.spec)))


@router.get("/{policy_id}", response={200: PolicyItem, **_READ})
def get_policy(request: ApiRequest, response: HttpResponse, policy_id: int) -> PolicyItem:
    """One policy. Its ETag goes into If-Match of a change."""
    return _answer(response, _find(policy_id, request))


@router.put("/{policy_id}", response={200: PolicyItem, **_WRITE})
def update_policy(request: ApiRequest, response: HttpResponse, policy_id: int, change: PolicyChange) -> PolicyItem:
    """Replace the policy's content. If-Match says which state it replaces (`*`: any)."""
    return _change(request, response, policy_id, change.spec, change.enabled, change.take_over)


@router.patch("/{policy_id}", response={200: PolicyItem, **_WRITE})
def patch_policy(request: ApiRequest, response: HttpResponse, policy_id: int, change: PolicyPatch) -> PolicyItem:
    """Change some fields. If-Match says which state they are changed of (`*`: any)."""
    policy = _find(policy_id)
    try:
        spec = PolicySpec.model_validate(merge(policy.spec, change.spec))
    except ValidationError as error:
        errors = field_errors(error.errors(include_url=False), prefix=("spec",))
        detail = "; ".join(f"{e['field']}: {e['message']}" for e in errors)
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, errors=errors) from error
    enabled = policy.enabled if change.enabled is None else change.enabled
    return _change(request, response, policy_id, spec, enabled, change.take_over)


@router.delete("/{policy_id}", response={204: None, **_WRITE})
def delete_policy(request: ApiRequest, policy_id: int) -> Status[None]:
    """With its resource. Open events keep the policy as it was when they were opened."""
    policy = _find(policy_id)
    _require(request, policy.cluster, _namespaces(policy))
    revision = _if_match(request) if "If-Match" in request.headers else None
    try:
        service.delete(policy_id, actor=Actor.of_request(request), revision=revision)
    except ChangeRefused as error:
        raise _problem(error) from error
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get("/{policy_id}/revisions", response={200: RevisionList, **_READ})
def list_revisions(request: ApiRequest, policy_id: int) -> RevisionList:
    """The policy's history, newest first."""
    rows = _find(policy_id, request).revisions.all()[:_REVISIONS]
    return RevisionList(
        items=[
            RevisionItem(
                number=row.number,
                at=row.at,
                kind=row.kind,
                origin=row.origin,
                actor=row.actor,
                note=row.note,
                enabled=row.enabled,
                spec=row.spec,
                error=row.error,
                changes=[FieldChangeItem(**change) for change in row.changes],
            )
            for row in rows
        ]
    )


@router.post("/{policy_id}/revisions/{number}/restore", response={200: PolicyItem, **_WRITE})
def restore_revision(
    request: ApiRequest, response: HttpResponse, policy_id: int, number: int, how: Restore
) -> PolicyItem:
    """Make the policy what it was. If-Match says which state is replaced (`*`: any)."""
    policy = _find(policy_id)
    entry = policy.revisions.filter(number=number).first() if 0 <= number < 2**31 else None
    if entry is None:
        raise Http404("There is no such revision.")
    _require(request, policy.cluster, [*_namespaces(policy), *(entry.spec.get("targetNamespaces") or ())])
    try:
        changed = service.restore(
            policy_id,
            number,
            actor=Actor.of_request(request),
            revision=_if_match(request),
            take_over=frozenset(how.take_over),
        )
    except ChangeRefused as error:
        raise _problem(error) from error
    return _answer(response, changed)


def _change(
    request: ApiRequest,
    response: HttpResponse,
    policy_id: int,
    spec: PolicySpec,
    enabled: bool,  # noqa: FBT001
    take_over: Iterable[str],
) -> PolicyItem:
    policy = _find(policy_id)
    _require(request, policy.cluster, [*_namespaces(policy), *spec.target_namespaces])
    try:
        changed = service.change(
            policy_id,
            spec,
            enabled=enabled,
            actor=Actor.of_request(request),
            revision=_if_match(request),
            take_over=frozenset(take_over),
        )
    except ChangeRefused as error:
        raise _problem(error) from error
    return _answer(response, changed)


def _if_match(request: ApiRequest) -> int | None:
    """The revision that the caller has seen; None for ``*``."""
    text = request.headers.get("If-Match", "").strip()
    if not text:
        detail = "Send If-Match with the ETag of the policy you have read, so that nobody's change is lost; or * ."
        raise Problem(HTTPStatus.PRECONDITION_REQUIRED, "precondition-required", detail)
    if text == "*":
        return None
    number = text.removeprefix("W/").strip('"')
    # What is no ETag of ours matches nothing.
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1


_STATUS = {
    "not-found": HTTPStatus.NOT_FOUND,
    "changed-meanwhile": HTTPStatus.PRECONDITION_FAILED,
    "forbidden": HTTPStatus.FORBIDDEN,
    ClusterAway.slug: HTTPStatus.FAILED_DEPENDENCY,
    ClusterRefused.slug: HTTPStatus.FAILED_DEPENDENCY,
}


def _problem(error: ChangeRefused) -> Exception:
    if isinstance(error, Gone):
        return Http404(str(error))
    more: dict[str, Any] = {}
    if isinstance(error, Conflicts):
        more["conflicts"] = [conflict.as_json() for conflict in error.found]
    if isinstance(error, Stale):
        more["changes"] = [change.as_json() for change in error.changes]
    return Problem(_STATUS.get(error.slug, HTTPStatus.CONFLICT), error.slug, str(error), **more)


def _require(request: ApiRequest, cluster: str, namespaces: Iterable[str]) -> None:
    if refusal := why_not_change(request.auth, cluster, namespaces):
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", refusal)


def _answer(response: HttpResponse, policy: Policy) -> PolicyItem:
    response["ETag"] = f'"{policy.revision}"'
    return _item(policy)


def _item(policy: Policy) -> PolicyItem:
    item = PolicyItem.model_validate(policy)
    return item.model_copy(update={"read_only_because": service.read_only_because(policy)})


def _namespaces(policy: Policy) -> list[str]:
    return list(policy.spec.get("targetNamespaces") or ())


def _spec_of(policy: Policy) -> PolicySpec | None:
    try:
        return policy.parsed()
    except ValidationError:
        return None


def _find(policy_id: int, request: ApiRequest | None = None) -> Policy:
    policy = Policy.objects.filter(pk=policy_id).first() if 0 < policy_id < 2**63 else None
    if policy is None or (request is not None and not may_see(grants_of(request.auth), policy)):
        raise Http404("There is no such policy.")
    return policy


def _part(replayed: Replay) -> ReplayPart:
    return ReplayPart(
        total=len(replayed.rows),
        turns=[Turn(old=str(old), new=str(new), count=count) for old, new, count in replayed.turns],
        changed=[
            ReplayRow(key=row.case.key, title=row.case.title, old=_judged(row.old), new=_judged(row.new))
            for row in replayed.changed
        ],
    )


def _judged(judgement: Judgement) -> JudgementItem:
    return JudgementItem(
        verdict=str(judgement.verdict),
        strategy=judgement.strategy,
        reasons=list(judgement.reasons),
        limits=list(judgement.limits),
    )
