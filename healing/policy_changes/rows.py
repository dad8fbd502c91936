"""SelfHealingPolicy resources into rows: what is refused keeps the last good spec and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from django.db import transaction
from pydantic import ValidationError

from healing import audit
from healing.actions.ownership import managed_by
from healing.models import Policy, PolicyRevision
from healing.policies.difference import compare
from healing.policies.ownership import CHANGED_BY, MANAGER, writer_of
from healing.policies.spec import PolicySpec
from healing.policy_changes import history
from healing.policy_changes.history import Author, State
from healing.ports.cluster import Object

log = structlog.get_logger(__name__)


def store(cluster: str, resource: Object, author: Author | None = None) -> Policy:
    """Create or update the resource's row. The resource wins over a policy of the same name made in the admin.

    ``author``: who made the change, where we know better than the resource's field managers."""
    meta = resource["metadata"]
    where = {"cluster": cluster, "namespace": meta.get("namespace") or "", "name": meta["name"]}
    spec, error = parse(resource.get("spec"))
    with transaction.atomic():
        policy = Policy.objects.select_for_update().filter(**where).first()
        before = State.of(policy) if policy is not None else None
        policy = policy or Policy(**where)
        seen = _seen(policy)
        is_another = bool(policy.uid) and policy.uid != meta.get("uid")
        generation = int(meta.get("generation") or 0)
        if not is_another and generation < policy.generation:
            return policy  # the watch is a moment behind what we have read ourselves
        if spec is not None:
            policy.spec = spec
        elif is_another or policy.source != Policy.Source.CLUSTER:
            policy.spec = {}  # the last good spec was not this resource's
        policy.error = error
        policy.source = Policy.Source.CLUSTER
        policy.uid = str(meta.get("uid") or "")
        policy.generation = generation
        policy.managed_by = managed_by(resource)[:253]
        if policy.pk is not None and seen == _seen(policy):
            return policy
        policy.resource_version = str(meta.get("resourceVersion") or "")
        if before is not None and before == State.of(policy):
            policy.save()
            return policy
        author = author or _author(resource, before, policy)
        kind = PolicyRevision.Kind.CHANGED if before else PolicyRevision.Kind.CREATED
        history.append(policy, before, author, kind=PolicyRevision.Kind.REFUSED if error else kind)
        log.info("policy read", policy=str(policy), error=error or None, by=author.name)
        if author.origin == PolicyRevision.Origin.CLUSTER:
            _audit(policy, before, author.name)
    return policy


def remove(cluster: str, namespace: str, name: str) -> None:
    """The resource is gone; events keep their snapshot and the policy's name."""
    with transaction.atomic():
        policy = (
            Policy.objects.select_for_update()
            .filter(cluster=cluster, namespace=namespace, name=name, source=Policy.Source.CLUSTER)
            .first()
        )
        if policy is None:
            return
        author = Author("unknown", PolicyRevision.Origin.CLUSTER, "its resource was deleted")
        delete_row(policy, author)
        audit.record(
            "policy.deleted",
            actor=audit.Actor.system("cluster"),
            target=str(policy),
            cluster=cluster,
            namespace=namespace,
            before={"spec": policy.spec, "enabled": policy.enabled},
        )
        log.info("policy removed", policy=f"{namespace}/{name}")


def delete_row(policy: Policy, author: Author) -> None:
    """The row goes, its history stays."""
    before = State.of(policy)
    history.append(policy, before, author, kind=PolicyRevision.Kind.DELETED)
    policy.delete()


def keep_only(cluster: str, resources: Sequence[Object], namespaces: Sequence[str] = ()) -> None:
    """After a full list: rows whose resource is gone go too. ``namespaces`` limits what was listed (empty: all)."""
    present = {(str(r["metadata"].get("namespace") or ""), str(r["metadata"].get("name"))) for r in resources}
    rows = Policy.objects.filter(cluster=cluster, source=Policy.Source.CLUSTER)
    if namespaces:
        rows = rows.filter(namespace__in=namespaces)
    for row in rows:
        if (row.namespace, row.name) not in present:
            remove(cluster, row.namespace, row.name)


def parse(spec: Any) -> tuple[dict[str, object] | None, str]:
    """(the spec in its full form, "") or (None, what is wrong with it, by field)."""
    try:
        return PolicySpec.model_validate(spec if spec is not None else {}).as_json(), ""
    except ValidationError as error:
        lines = []
        for detail in error.errors(include_url=False, include_input=False):
            where = ".".join(["spec", *map(str, detail["loc"])])
            lines.append(f"{where}: {str(detail['msg']).removeprefix('Value error, ')}")
        return None, "; ".join(lines)


def _seen(policy: Policy) -> tuple[Any, ...]:
    return (policy.spec, policy.error, policy.uid, policy.generation, policy.source, policy.managed_by)


def _author(resource: Object, before: State | None, policy: Policy) -> Author:
    changed = [tuple(change.field.split(".")) for change in compare(before.spec if before else {}, policy.spec)]
    name = writer_of(resource, changed)
    person = (resource["metadata"].get("annotations") or {}).get(CHANGED_BY)
    if name == MANAGER and person:
        return Author(str(person)[:253], PolicyRevision.Origin.APP)
    return Author(name[:253], PolicyRevision.Origin.CLUSTER)


def _audit(policy: Policy, before: State | None, manager: str) -> None:
    audit.record(
        "policy.changed" if before else "policy.created",
        actor=audit.Actor.system(f"cluster: {manager}"[:150]),
        target=str(policy),
        cluster=policy.cluster,
        namespace=policy.namespace,
        before={"spec": before.spec, "error": before.error} if before else None,
        after={"spec": policy.spec, "error": policy.error},
        data={"revision": policy.revision, "manager": manager, "generation": policy.generation},
    )
