"""SelfHealingPolicy resources into rows: what is refused keeps the last good spec and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from django.db import transaction
from pydantic import ValidationError

from healing.models import Policy
from healing.policies.spec import PolicySpec
from healing.ports.cluster import Object

log = structlog.get_logger(__name__)


def store(cluster: str, resource: Object) -> Policy:
    """Create or update the resource's row. The resource wins over a policy of the same name made in the admin."""
    meta = resource["metadata"]
    spec, error = parse(resource.get("spec"))
    with transaction.atomic():
        policy = (
            Policy.objects.select_for_update()
            .filter(cluster=cluster, namespace=meta.get("namespace") or "", name=meta["name"])
            .first()
        )
        if policy is None:
            policy = Policy(cluster=cluster, namespace=meta.get("namespace") or "", name=meta["name"])
        before = (policy.spec, policy.error, policy.uid, policy.generation, policy.source)
        is_another = bool(policy.uid) and policy.uid != meta.get("uid")
        if spec is not None:
            policy.spec = spec
        elif is_another or policy.source != Policy.Source.CLUSTER:
            policy.spec = {}  # the last good spec was not this resource's
        policy.error = error
        policy.source = Policy.Source.CLUSTER
        policy.uid = str(meta.get("uid") or "")
        policy.generation = int(meta.get("generation") or 0)
        if policy.pk is None or before != (policy.spec, policy.error, policy.uid, policy.generation, policy.source):
            policy.resource_version = str(meta.get("resourceVersion") or "")
            policy.save()
            log.info("policy read", policy=str(policy), error=error or None)
    return policy


def remove(cluster: str, namespace: str, name: str) -> None:
    """The resource is gone; events keep their snapshot and the policy's name."""
    deleted, _ = Policy.objects.filter(
        cluster=cluster, namespace=namespace, name=name, source=Policy.Source.CLUSTER
    ).delete()
    if deleted:
        log.info("policy removed", policy=f"{namespace}/{name}")


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
