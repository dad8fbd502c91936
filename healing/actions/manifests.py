"""An object's manifest as a person would have written it: without status and without what the API server fills in.

The parts of it that a person may change are compared and put back field by field, each a path of its own."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from healing.actions.operations import EVENT_LABEL
from healing.managed_fields import own_entries
from healing.ports.cluster import Object

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OURS = "recist.io/"
#: How Argo CD marks what it owns, where it does not use a label.
_TRACKED_BY = "argocd.argoproj.io/tracking-id"

#: What may be put back, by kind: the top level fields that hold what people write. Never Secrets.
PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ConfigMap": ("data", "binaryData"),
        "ServiceAccount": ("secrets", "imagePullSecrets", "automountServiceAccountToken"),
        "Service": ("spec",),
        "Ingress": ("spec",),
        "HTTPRoute": ("spec",),
        "NetworkPolicy": ("spec",),
        "HorizontalPodAutoscaler": ("spec",),
        "PodDisruptionBudget": ("spec",),
        "ResourceQuota": ("spec",),
        "LimitRange": ("spec",),
        "PersistentVolumeClaim": ("spec",),
        "Deployment": ("spec",),
        "StatefulSet": ("spec",),
        "DaemonSet": ("spec",),
    }
)
#: Kinds of which annotations are settings too, not only notes of controllers.
_ANNOTATED = frozenset({"Ingress", "Service", "HTTPRoute"})
_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet"})


def manifest_of(obj: Object, kind: str) -> Object:
    """What could be created anew: identity, labels, annotations of people, and the parts."""
    meta = obj["metadata"]
    kept = {"name": meta["name"], "namespace": meta.get("namespace", "")}
    marks = {k: v for k, v in (meta.get("labels") or {}).items() if not k.startswith(_OURS)}
    notes = {
        k: v
        for k, v in (meta.get("annotations") or {}).items()
        if (kind in _ANNOTATED or k == _TRACKED_BY) and k != LAST_APPLIED and not k.startswith(_OURS)
    }
    if marks:
        kept["labels"] = marks
    if notes:
        kept["annotations"] = notes
    parts = {part: copy.deepcopy(obj[part]) for part in PARTS[kind] if obj.get(part) is not None}
    if kind in _WORKLOADS and (meta.get("annotations") or {}).get(f"{_OURS}paused-by"):
        parts["spec"].pop("paused", None)  # a pause of ours is not how it is meant to be
    return {"apiVersion": obj.get("apiVersion", ""), "kind": kind, "metadata": kept, **parts}


def digest_of(manifest: Object) -> str:
    """Of what people decide: the number of replicas counts only as none or some, for autoscalers change it."""
    plain = copy.deepcopy(manifest)
    if manifest["kind"] in _WORKLOADS and plain["spec"].get("replicas") is not None:
        plain["spec"]["replicas"] = min(1, plain["spec"]["replicas"])
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def fields(manifest: Object) -> dict[tuple[str, ...], Any]:
    """Path -> value, one level into maps: ``("spec", "rules")``, ``("data", "REGION")``."""
    return dict(_fields(manifest))


def _fields(manifest: Object) -> Iterator[tuple[tuple[str, ...], Any]]:
    for part in PARTS[manifest["kind"]]:
        value = manifest.get(part)
        if isinstance(value, dict):
            yield from (((part, key), below) for key, below in value.items())
        elif value is not None:
            yield (part,), value
    for part in ("labels", "annotations"):
        for key, value in (manifest["metadata"].get(part) or {}).items():
            yield ("metadata", part, key), value


def differences(now: Object, then: Object) -> dict[tuple[str, ...], tuple[Any, Any]]:
    """Path -> (now, then) of every field in which two manifests differ; None: it is not there."""
    left, right = fields(now), fields(then)
    return {
        path: (left.get(path), right.get(path))
        for path in dict.fromkeys((*left, *right))
        if left.get(path) != right.get(path)
    }


def assign(live: Object, wanted: Mapping[tuple[str, ...], Any]) -> list[dict[str, Any]]:
    """JSON patch steps that give the live object's fields these values; None takes a field away.

    A map that the object does not have at all is added with everything in it."""
    steps: list[dict[str, Any]] = []
    missing: dict[str, dict[str, Any]] = {}
    for path, value in wanted.items():
        parent = at(live, path[:-1])
        if len(path) > 1 and not isinstance(parent, dict):
            if value is not None:
                missing.setdefault(pointer(path[:-1]), {})[path[-1]] = value
        elif value is None:
            if path[-1] in (parent or live):
                steps.append({"op": "remove", "path": pointer(path)})
        else:
            steps.append({"op": "add", "path": pointer(path), "value": value})
    return [*({"op": "add", "path": path, "value": value} for path, value in missing.items()), *steps]


def at(obj: Any, path: tuple[str, ...]) -> Any:
    """What is there; None: nothing."""
    for key in path:
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def pointer(path: tuple[str, ...]) -> str:
    """RFC 6901."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)


def in_words(path: tuple[str, ...]) -> str:
    """``spec.maxReplicas``, ``metadata.labels[app.kubernetes.io/name]``."""
    text = path[0]
    for token in path[1:]:
        text += f".{token}" if token.replace("-", "").replace("_", "").isalnum() else f"[{token}]"
    return text


def applied(live: Object, kind: str) -> Object | None:
    """The manifest with what was last applied to it by ``kubectl apply``, where that differs from how it is; what the
    API server filled in stays. None: nothing was applied, or it cannot be read (anyone may write an annotation)."""
    raw = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        wanted = json.loads(raw) if raw else None
    except ValueError:
        return None
    if not isinstance(wanted, dict) or not all(isinstance(wanted.get(p, {}), dict | list) for p in PARTS[kind]):
        return None
    now = manifest_of(live, kind)
    then = copy.deepcopy(now)
    for part in PARTS[kind]:
        if part == "data" and part in wanted:
            then[part] = wanted[part]  # of a ConfigMap everything was written by people
        elif part in wanted:
            then[part] = _over(now.get(part), wanted[part])
    return then if differences(now, then) else None


def _over(live: Any, wanted: Any) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        return {**live, **{key: _over(live.get(key), value) for key, value in wanted.items()}}
    both_lists = isinstance(live, list) and isinstance(wanted, list)
    if both_lists and len(live) == len(wanted) and all(isinstance(item, dict) for item in (*live, *wanted)):
        return [_over(a, b) for a, b in zip(live, wanted, strict=True)]
    return copy.deepcopy(wanted)


def changed_at(live: Object) -> datetime | None:
    """When somebody last wrote the object's own content (status does not count); None: it does not say."""
    times = [entry.time for entry in own_entries(live) if entry.time]
    newest = max(times, default=live["metadata"].get("creationTimestamp"))
    return time_of(newest) if newest else None


def time_of(text: str) -> datetime:
    """A Kubernetes timestamp."""
    return datetime.fromisoformat(text)


def for_creation(manifest: Object, event: str) -> Object:
    """The manifest with the mark by which a repetition of our own request is recognised."""
    body = copy.deepcopy(manifest)
    body["metadata"].setdefault("labels", {})[EVENT_LABEL] = event
    return body
