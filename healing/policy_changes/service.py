"""Make, change, restore and delete policies: one way for admin and API.

A policy that mirrors a resource is changed in the cluster first; only what the cluster has taken becomes the row. The
cluster is called outside of transactions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from pydantic import ValidationError

from healing import audit
from healing.audit import Actor
from healing.models import Policy, PolicyRevision
from healing.policies.difference import compare
from healing.policies.spec import PolicySpec
from healing.policy_changes import history, resource, rows
from healing.policy_changes.errors import ClusterRefused, Gone, NameTaken, ReadOnly, Stale
from healing.policy_changes.history import Author, State
from healing.ports.cluster import Object

APP = PolicyRevision.Origin.APP
Kind = PolicyRevision.Kind


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new policy goes; without a namespace it stays in the app."""

    cluster: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Made:
    """``says``: where the policy lives now, for the person."""

    policy: Policy
    says: str


def create(place: Place, spec: PolicySpec, *, enabled: bool, actor: Actor) -> Made:
    """A new policy, with a resource where it has a namespace and the cluster knows the type."""
    if Policy.objects.filter(cluster=place.cluster, namespace=place.namespace, name=place.name).exists():
        raise NameTaken("There is a policy of that name in that namespace already: change that one.")
    author = Author(actor.name, APP)
    if not place.namespace:
        says = "It is kept in this app only: without a namespace it has no SelfHealingPolicy resource."
        return Made(_create_row(place, spec, enabled=enabled, actor=actor), says)
    try:
        made = resource.create(place.cluster, place.namespace, place.name, spec, person=actor.name)
    except resource.NoSuchType:
        says = "It is kept in this app only: the cluster has no SelfHealingPolicy resources (install the CRDs)."
        return Made(_create_row(place, spec, enabled=enabled, actor=actor), says)
    with transaction.atomic():
        policy = rows.store(place.cluster, made, author)
        if policy.enabled != enabled:
            Policy.objects.filter(pk=policy.pk).update(enabled=enabled)
            PolicyRevision.objects.filter(policy=policy, number=policy.revision).update(enabled=enabled)
            policy.enabled = enabled
        _audit("policy.created", actor, None, policy)
    return Made(policy, f"Its SelfHealingPolicy resource is {place.namespace}/{place.name}.")


def change(
    policy_id: int,
    spec: PolicySpec,
    *,
    enabled: bool,
    actor: Actor,
    revision: int | None,
    take_over: Collection[str] = (),
    kind: Kind = Kind.CHANGED,
    note: str = "",
) -> Policy:
    """``revision``: the one that the person looked at (None: whatever there is). Raises `ChangeRefused`."""
    policy = _find(policy_id)
    _check_revision(policy, revision)
    if policy.source != Policy.Source.CLUSTER:
        return _change_row(policy_id, spec, enabled=enabled, actor=actor, revision=revision, kind=kind, note=note)
    if policy.managed_by:
        raise ReadOnly(resource.where_to_edit(policy.managed_by))
    live = resource.read(policy.cluster, policy.namespace, policy.name)
    _check_live(policy, live)
    after, taken = resource.write(policy.cluster, live, spec, person=actor.name, take_over=take_over)
    if taken:
        from_whom = ", ".join(f"{conflict.field} from {conflict.manager}" for conflict in taken)
        note = f"{note} Took over {from_whom}.".strip()
    return _record(policy, after, Author(actor.name, APP, note), actor, enabled=enabled, kind=kind)


def restore(
    policy_id: int, number: int, *, actor: Actor, revision: int | None, take_over: Collection[str] = ()
) -> Policy:
    """Make the policy what it was in an earlier revision. Raises `ChangeRefused`."""
    entry = PolicyRevision.objects.filter(policy_id=policy_id, number=number).first()
    if entry is None:
        raise Gone("There is no such revision of this policy.")
    try:
        spec = PolicySpec.model_validate(entry.spec)
    except ValidationError as error:
        raise ClusterRefused("That revision's spec is not valid any more: edit the policy instead.") from error
    return change(
        policy_id,
        spec,
        enabled=entry.enabled,
        actor=actor,
        revision=revision,
        take_over=take_over,
        kind=Kind.RESTORED,
        note=f"As in revision {number}.",
    )


def delete(policy_id: int, *, actor: Actor, revision: int | None) -> None:
    """The resource goes too. Open events keep the policy as it was. Raises `ChangeRefused`."""
    policy = _find(policy_id)
    _check_revision(policy, revision)
    if policy.source == Policy.Source.CLUSTER:
        if policy.managed_by:
            raise ReadOnly(resource.where_to_edit(policy.managed_by))
        resource.delete(policy.cluster, policy.namespace, policy.name, policy.uid)
    with transaction.atomic():
        row = Policy.objects.select_for_update().filter(pk=policy_id).first()
        before = {"spec": policy.spec, "enabled": policy.enabled}
        if row is not None:
            rows.delete_row(row, Author(actor.name, APP))
        audit.record(
            "policy.deleted",
            actor=actor,
            target=str(policy),
            cluster=policy.cluster,
            namespace=policy.namespace,
            before=before,
        )


def read_only_because(policy: Policy) -> str:
    """Why nobody can change it here; empty: who may, can."""
    return resource.where_to_edit(policy.managed_by) if policy.managed_by else ""


def _create_row(place: Place, spec: PolicySpec, *, enabled: bool, actor: Actor) -> Policy:
    try:
        with transaction.atomic():
            policy = Policy(
                cluster=place.cluster,
                namespace=place.namespace,
                name=place.name,
                enabled=enabled,
                spec=spec.as_json(),
                source=Policy.Source.ADMIN,
            )
            history.append(policy, None, Author(actor.name, APP), kind=Kind.CREATED)
            _audit("policy.created", actor, None, policy)
    except IntegrityError as error:
        raise NameTaken("There is a policy of that name in that namespace already: change that one.") from error
    return policy


def _change_row(
    policy_id: int,
    spec: PolicySpec,
    *,
    enabled: bool,
    actor: Actor,
    revision: int | None,
    kind: Kind,
    note: str,
) -> Policy:
    with transaction.atomic():
        policy = Policy.objects.select_for_update().filter(pk=policy_id).first()
        if policy is None:
            raise Gone("There is no such policy any more.")
        _check_revision(policy, revision)
        before = State.of(policy)
        policy.spec, policy.enabled, policy.error = spec.as_json(), enabled, ""
        if before != State.of(policy):
            history.append(policy, before, Author(actor.name, APP, note), kind=kind)
            _audit("policy.changed", actor, before, policy)
    return policy


def _record(policy: Policy, after: Object, author: Author, actor: Actor, *, enabled: bool, kind: Kind) -> Policy:
    """What the cluster has taken, as row, history and audit; the watcher may have been faster with the row."""
    before = State.of(policy)
    with transaction.atomic():
        row = rows.store(policy.cluster, after, author)
        if row.revision == policy.revision and row.enabled == enabled:
            return row  # nothing has changed
        if row.revision == policy.revision:  # the switch alone, which is ours
            unswitched = State.of(row)
            row.enabled = enabled
            history.append(row, unswitched, author, kind=kind)
        else:
            row.enabled = enabled
            row.save(update_fields=["enabled", "updated_at"])
            PolicyRevision.objects.filter(policy=row, number=row.revision).update(
                kind=Kind.REFUSED if row.error else kind,
                origin=APP,
                actor=author.name,
                note=author.note,
                enabled=enabled,
                changes=[c.as_json() for c in history.changes_between(before, State.of(row))],
            )
        _audit("policy.changed", actor, before, row)
    return row


def _find(policy_id: int) -> Policy:
    policy = Policy.objects.filter(pk=policy_id).first()
    if policy is None:
        raise Gone("There is no such policy.")
    return policy


def _check_revision(policy: Policy, revision: int | None) -> None:
    if revision is None or revision == policy.revision:
        return
    seen = PolicyRevision.objects.filter(policy=policy, number=revision).first()
    changes = compare(seen.spec, policy.spec) if seen else []
    newest = PolicyRevision.objects.filter(policy=policy).first()
    who = f" by {newest.actor}" if newest else ""
    fields = ", ".join(change.field for change in changes)
    what = f" ({fields})" if fields else ""
    raise Stale(
        f"The policy was changed{who}{what} since you opened it. Look at it again before you change it.",
        changes,
        policy.revision,
    )


def _check_live(policy: Policy, live: Object) -> None:
    """What was changed in the cluster this moment becomes the row, and is looked at first."""
    meta = live["metadata"]
    if str(meta.get("uid")) != policy.uid or int(meta.get("generation") or 0) != policy.generation:
        seen = policy.revision
        row = rows.store(policy.cluster, live)
        _check_revision(row, seen)
    elif meta.get("deletionTimestamp"):
        raise Gone("The policy's resource is being deleted.")


def _audit(action: str, actor: Actor, before: State | None, policy: Policy) -> None:
    changes = history.changes_between(before, State.of(policy)) if before else []
    audit.record(
        action,
        actor=actor,
        target=str(policy),
        cluster=policy.cluster,
        namespace=policy.namespace,
        before={"spec": before.spec, "enabled": before.enabled} if before else None,
        after={"spec": policy.spec, "enabled": policy.enabled},
        data={"revision": policy.revision, "changes": [change.as_json() for change in changes]},
    )
