"""ControllerRevisions: the templates a StatefulSet or DaemonSet has had, for undo."""

from __future__ import annotations

import copy

from healing.sandbox.ports import ApiError, Object, User
from healing.sandbox.world.context import Context
from healing.sandbox.world.owners import controller_of, owner_reference, template_hash

RESOURCE = "controllerrevisions.apps"


def revision_for(context: Context, owner: Object, kind: str, user: User) -> str:
    """The hash of the owner's present template; its ControllerRevision exists and has the highest number."""
    template = owner["spec"]["template"]
    suffix = template_hash(template)
    metadata = owner["metadata"]
    name = f"{metadata['name']}-{suffix}"
    own = [
        item
        for item in context.cluster.list(RESOURCE, metadata["namespace"])
        if (reference := controller_of(item)) is not None and reference["uid"] == metadata["uid"]
    ]
    newest = max((int(item["revision"]) for item in own), default=0)
    present = next((item for item in own if item["metadata"]["name"] == name), None)
    if present is None:
        body: Object = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": name,
                "labels": {
                    **(template.get("metadata", {}).get("labels") or {}),
                    "controller.kubernetes.io/hash": suffix,
                },
                "ownerReferences": [owner_reference(owner, "apps/v1", kind)],
            },
            "data": {"spec": {"template": {**copy.deepcopy(template), "$patch": "replace"}}},
            "revision": newest + 1,
        }
        try:
            context.cluster.create(RESOURCE, metadata["namespace"], body, user=user)
        except ApiError as error:
            if error.code != 409:
                raise
    elif int(present["revision"]) < newest:
        context.cluster.mutate(
            RESOURCE, metadata["namespace"], name, lambda item: item.update(revision=newest + 1), user=user
        )
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    old = sorted((i for i in own if i["metadata"]["name"] != name), key=lambda item: int(item["revision"]))
    for item in old[: max(0, len(old) - limit)]:
        context.cluster.delete(RESOURCE, metadata["namespace"], item["metadata"]["name"], user=user)
    return suffix


def template_of(context: Context, owner: Object, suffix: str) -> Object | None:
    """The template of an earlier revision, by its hash."""
    metadata = owner["metadata"]
    item = context.cluster.get(RESOURCE, metadata["namespace"], f"{metadata['name']}-{suffix}")
    if item is None:
        return None
    template = copy.deepcopy(item["data"]["spec"]["template"])
    template.pop("$patch", None)
    return dict(template)
