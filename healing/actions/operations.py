"""The single writes an action is made of, as JSON: built here, sent here, recognised in the live state here.

Every write is conditional on the object's resourceVersion read just before. So a request that seemed lost and
arrives late is refused by the API server once its repetition has gone through: nothing is applied twice.
"""

from __future__ import annotations

import copy
import time
from typing import Any

from healing.actions import quantities
from healing.models.sealed import is_sealed
from healing.ports.cluster import Cluster, Object, ObjectRef, PatchType
from healing.ports.errors import AlreadyExists, Conflict, Invalid, NotFound

Operation = dict[str, Any]

#: Their values are quantities, which API servers write in their own way.
_OF_QUANTITIES = frozenset({"limits", "requests", "hard", "capacity", "overhead"})
_REMOVES = frozenset({"delete", "evict", "forceDelete"})
#: A quota counts only once its controller has taken its new limits over: so long they are waited for at most.
_SETTLED_SECONDS = 2.0
_SETTLED_EVERY_SECONDS = 0.05
#: Our label on everything we create: the event it was made for.
EVENT_LABEL = "recist.io/event"


def patch(target: ObjectRef, body: Any, patch_type: PatchType = "merge") -> Operation:
    """Change an object. ``strategic`` for lists merged by name, ``json`` where a whole subtree is replaced."""
    return {"verb": "patch", "object": target.as_json(), "patchType": patch_type, "body": body}


def hint(operation: Operation, *, settled: ObjectRef) -> Operation:
    """A patch that only makes a controller look at its object, once what was done to ``settled`` counts. Whoever
    writes over it takes nothing from us."""
    return {**operation, "isHint": True, "settled": settled.as_json()}


def is_hint(operation: Operation) -> bool:
    """Whether nothing depends on it."""
    return bool(operation.get("isHint"))


def create(kind: str, body: Object) -> Operation:
    """Create an object of ours; it carries `EVENT_LABEL`, by which a repetition recognises it."""
    return {"verb": "create", "object": ObjectRef.of(body, kind).as_json(), "body": body}


def delete(target: ObjectRef) -> Operation:
    """Delete that very object (by uid where there is one)."""
    return {"verb": "delete", "object": target.as_json()}


def force_delete(pod: ObjectRef) -> Operation:
    """Delete that very pod without waiting for its node to say that it has ended."""
    return {"verb": "forceDelete", "object": pod.as_json()}


def evict(pod: ObjectRef) -> Operation:
    """Evict that very pod, as its disruption budgets allow."""
    return {"verb": "evict", "object": pod.as_json()}


def object_of(operation: Operation) -> ObjectRef:
    """Which object it changes."""
    return ObjectRef.from_json(operation["object"])


def addresses(operation: Operation, target: ObjectRef) -> bool:
    """Whether it changes the target itself (and not another object of ours)."""
    ref = object_of(operation)
    return (ref.kind, ref.namespace, ref.name) == (target.kind, target.namespace, target.name)


def send(
    cluster: Cluster, operation: Operation, *, generation: int = 0, dry_run: bool = False, timeout_seconds: float
) -> Object | None:
    """Send it; returns the object as written (None: deleted). Sending what is done already changes nothing.

    Raises `healing.ports.errors`; `Conflict` also when the object is not the one (uid) or not in the state
    (``generation``, where given) that the plan was made for.
    """
    ref = object_of(operation)
    verb = operation["verb"]
    if is_sealed(operation.get("body")):
        raise Invalid(f"What {ref} was like cannot be read any more: SECRET_KEY was changed since it was written down.")
    if is_hint(operation) and not dry_run:
        _wait_until_settled(cluster, ObjectRef.from_json(operation["settled"]), timeout_seconds)
    if verb == "patch":
        return _send_patch(cluster, operation, generation, dry_run=dry_run, timeout_seconds=timeout_seconds)
    if verb == "create":
        return _send_create(cluster, operation, dry_run=dry_run, timeout_seconds=timeout_seconds)
    try:
        if verb == "evict":
            cluster.evict(ref.namespace, ref.name, uid=ref.uid, dry_run=dry_run, timeout_seconds=timeout_seconds)
        else:
            cluster.delete(
                ref.kind,
                ref.namespace,
                ref.name,
                uid=ref.uid,
                grace_seconds=0 if verb == "forceDelete" else None,
                dry_run=dry_run,
                timeout_seconds=timeout_seconds,
            )
    except NotFound:
        pass  # what shall go is gone
    return None


def _wait_until_settled(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> None:
    if ref.kind != "ResourceQuota":
        return
    end = time.monotonic() + min(_SETTLED_SECONDS, timeout_seconds / 2)
    while time.monotonic() < end:
        try:
            quota = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
        except NotFound:
            return
        if (quota.get("status") or {}).get("hard") == quota["spec"].get("hard"):
            return
        time.sleep(_SETTLED_EVERY_SECONDS)


def _send_patch(
    cluster: Cluster, operation: Operation, generation: int, *, dry_run: bool, timeout_seconds: float
) -> Object:
    ref = object_of(operation)
    live = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    meta = live["metadata"]
    if ref.uid and meta.get("uid") != ref.uid:
        raise Conflict(f"{ref} was deleted and made anew since the plan was made.")
    if _matches(live, operation):
        return live
    if generation and meta.get("generation") != generation:
        raise Conflict(f"{ref} was changed since the plan was made.")
    return cluster.patch(
        ref.kind,
        ref.namespace,
        ref.name,
        _conditional(operation, meta["resourceVersion"]),
        patch_type=operation["patchType"],
        dry_run=dry_run,
        timeout_seconds=timeout_seconds,
    )


def _conditional(operation: Operation, resource_version: str) -> Any:
    body = copy.deepcopy(operation["body"])
    if operation["patchType"] == "json":
        return [{"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}, *body]
    body.setdefault("metadata", {})["resourceVersion"] = resource_version
    return body


def _send_create(cluster: Cluster, operation: Operation, *, dry_run: bool, timeout_seconds: float) -> Object:
    ref, body = object_of(operation), operation["body"]
    try:
        return cluster.create(ref.kind, ref.namespace, body, dry_run=dry_run, timeout_seconds=timeout_seconds)
    except AlreadyExists:
        live = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
        if _is_ours(live, body):
            return live
        raise


def is_done(cluster: Cluster, operation: Operation, *, timeout_seconds: float) -> bool:
    """Whether the live state is what the operation leads to. Raises `healing.ports.errors` when it cannot tell."""
    ref, verb = object_of(operation), operation["verb"]
    try:
        live = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    except NotFound:
        return verb in _REMOVES
    meta = live["metadata"]
    if verb == "forceDelete":
        return bool(ref.uid and meta.get("uid") != ref.uid)
    if verb in _REMOVES:
        return bool(ref.uid and meta.get("uid") != ref.uid) or "deletionTimestamp" in meta
    if verb == "create":
        return _is_ours(live, operation["body"])
    return not (ref.uid and meta.get("uid") != ref.uid) and _matches(live, operation)


def is_undone(cluster: Cluster, undo: Operation, *, timeout_seconds: float) -> bool:
    """Whether there is nothing (left) to put back: it is as before, or the object itself has gone."""
    if undo["verb"] == "patch":
        ref = object_of(undo)
        try:
            live = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
        except NotFound:
            return True
        if ref.uid and live["metadata"].get("uid") != ref.uid:
            return True
    return is_done(cluster, undo, timeout_seconds=timeout_seconds)


def written(operation: Operation, after: Object | None) -> dict[str, Any]:
    """What is kept of an answer."""
    meta = (after or {}).get("metadata", {})
    return {
        "object": operation["object"],
        "verb": operation["verb"],
        "generation": meta.get("generation", 0),
        "resourceVersion": meta.get("resourceVersion", ""),
    }


def _is_ours(live: Object, body: Object) -> bool:
    wanted = body["metadata"].get("labels", {}).get(EVENT_LABEL)
    return bool(wanted) and live["metadata"].get("labels", {}).get(EVENT_LABEL) == wanted


def _matches(live: Object, operation: Operation) -> bool:
    if operation["patchType"] == "json":
        return all(_json_op_holds(live, step) for step in operation["body"])
    return contains(live, operation["body"])


def contains(live: Any, wanted: Any, *, below: str = "") -> bool:
    """Whether a merge or strategic patch would change nothing: its values are there, its nulls are not.

    Lists of named items (containers, env) are compared by name, quantities by what they mean (``below`` is the key of
    the values), others as a whole.
    """
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return all(value is None for value in wanted.values()) if live is None else False
        return all(
            (live.get(key) is None) if value is None else _holds(live.get(key), value, key, below)
            for key, value in wanted.items()
            if not key.startswith("$")
        )
    if isinstance(wanted, list) and wanted and all(isinstance(item, dict) and "name" in item for item in wanted):
        by_name = {item.get("name"): item for item in live or () if isinstance(item, dict)}
        return all(_item_holds(by_name.get(item["name"]), item) for item in wanted)
    return bool(live == wanted)


def _holds(live: Any, wanted: Any, key: str, below: str) -> bool:
    if below in _OF_QUANTITIES and isinstance(live, str):
        return quantities.same(live, wanted)
    return contains(live, wanted, below=key)


def _equal(live: Any, wanted: Any, *, below: str = "", key: str = "") -> bool:
    """As ``==``, but for quantities. ``below`` is the key of the object in which they are."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        return live.keys() == wanted.keys() and all(
            _equal(live[name], wanted[name], below=key, key=name) for name in live
        )
    if isinstance(live, list) and isinstance(wanted, list):
        return len(live) == len(wanted) and all(_equal(a, b) for a, b in zip(live, wanted, strict=True))
    return bool(live == wanted) or (below in _OF_QUANTITIES and isinstance(live, str) and quantities.same(live, wanted))


def _item_holds(live: Any, wanted: dict[str, Any]) -> bool:
    if wanted.get("$patch") == "delete":
        return live is None
    return live is not None and contains(live, wanted)


def _json_op_holds(live: Object, step: dict[str, Any]) -> bool:
    value: Any = live
    tokens = [raw.replace("~1", "/").replace("~0", "~") for raw in step["path"].split("/")[1:]]
    for token in tokens:
        if isinstance(value, list):
            value = value[int(token)] if token.isdigit() and int(token) < len(value) else None
        else:
            value = value.get(token) if isinstance(value, dict) else None
    if step["op"] == "remove":
        return value is None
    below, key = ["", *tokens][-2:]
    return _equal(value, step["value"], below=below, key=key)
