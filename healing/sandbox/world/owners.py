"""Owner references, adoption and release, and the names that are hashed from templates."""

from __future__ import annotations

import json
from collections.abc import Sequence

from healing.sandbox.ports import ApiError, Object, User
from healing.sandbox.world.context import Context
from healing.sandbox.world.selectors import matches

_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def controller_of(item: Object) -> Object | None:
    for reference in item["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            owner: Object = reference
            return owner
    return None


def owner_reference(owner: Object, api_version: str, kind: str) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def template_hash(template: Object, collisions: int = 0) -> str:
    """A name suffix in Kubernetes' alphabet, the same for equal templates."""
    value = 2166136261
    for byte in (json.dumps(template, sort_keys=True) + (str(collisions) if collisions else "")).encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(value))


def claim(
    context: Context,
    owner: Object,
    *,
    api_version: str,
    kind: str,
    resource: str,
    candidates: Sequence[Object],
    user: User,
) -> list[Object]:
    """The objects this owner controls, after adopting what matches and releasing what no longer does.

    Kubernetes' ControllerRefManager: an orphan with matching labels gets an ownerReference, an owned object whose
    labels left the selector loses it. An owner that is being deleted adopts nothing.
    """
    uid = owner["metadata"]["uid"]
    selector = owner["spec"].get("selector")
    leaving = owner["metadata"].get("deletionTimestamp") is not None
    claimed: list[Object] = []
    for item in candidates:
        metadata = item["metadata"]
        reference = controller_of(item)
        if reference is not None and reference["uid"] != uid:
            continue
        match = matches(selector, metadata.get("labels") or {})
        if reference is not None:
            if match:
                claimed.append(item)
            elif not leaving:
                _change_owner(context, resource, item, user, uid=uid, reference=None)
            continue
        if not match or leaving or metadata.get("deletionTimestamp"):
            continue
        reference = owner_reference(owner, api_version, kind)
        adopted = _change_owner(context, resource, item, user, uid=uid, reference=reference)
        if adopted is not None:
            claimed.append(adopted)
    return claimed


def _change_owner(
    context: Context, resource: str, item: Object, user: User, *, uid: str, reference: Object | None
) -> Object | None:
    metadata = item["metadata"]

    def change(body: Object) -> None:
        others = [r for r in body["metadata"].get("ownerReferences") or () if r["uid"] != uid]
        if reference is not None:
            others.append(reference)
        if others:
            body["metadata"]["ownerReferences"] = others
        else:
            body["metadata"].pop("ownerReferences", None)

    try:
        return context.cluster.mutate(resource, metadata["namespace"], metadata["name"], change, user=user)
    except ApiError as error:
        if error.code == 404:
            return None
        raise
