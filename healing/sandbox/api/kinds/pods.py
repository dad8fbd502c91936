"""Pods: what the server writes itself, and which fields of a running pod may change."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.errors import Cause, forbidden_field
from healing.sandbox.api.kinds.podspec import default_pod_spec, requests_from_limits
from healing.sandbox.api.kinds.podspec_check import check_pod_spec
from healing.sandbox.api.meta import clone
from healing.sandbox.api.quantity import parse_quantity
from healing.sandbox.ports import Object

_IMMUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def default_pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_spec(spec, in_template=False)
    requests_from_limits(spec)


def prepare_pod(obj: Object) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
    if obj["spec"].get("schedulingGates"):
        obj["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, from the containers' cpu and memory."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    something = False
    guaranteed = True
    for container in containers:
        resources = container.get("resources") or {}
        limits = {key: value for key, value in (resources.get("limits") or {}).items() if key in ("cpu", "memory")}
        requests = {key: value for key, value in (resources.get("requests") or {}).items() if key in ("cpu", "memory")}
        something = something or any(_positive(value) for value in (*limits.values(), *requests.values()))
        if set(limits) != {"cpu", "memory"} or any(requests.get(key, value) != value for key, value in limits.items()):
            guaranteed = False
    if not something:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(quantity: str) -> bool:
    try:
        return parse_quantity(quantity) > 0
    except ValueError:
        return False


def check_pod(obj: Object) -> list[Cause]:
    return check_pod_spec(obj.get("spec") or {}, "spec")


def check_pod_update(new: Object, old: Object) -> list[Cause]:
    """Only images, deadlines and more tolerations; anything else in the spec is forbidden."""
    before, after = clone(old["spec"]), clone(new["spec"])
    if before == after:
        return []
    tolerations = after.get("tolerations") or []
    if any(item not in tolerations for item in before.get("tolerations") or []):
        return [
            forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        ]
    for spec in (before, after):
        spec.pop("tolerations", None)
        spec.pop("activeDeadlineSeconds", None)
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            container.pop("image", None)
    if before.get("schedulingGates") and len(after.get("schedulingGates") or []) < len(before["schedulingGates"]):
        # Gates may be taken away, and while they stand, node selection may be narrowed.
        for spec in (before, after):
            for field in ("schedulingGates", "nodeSelector", "affinity"):
                spec.pop(field, None)
    if before == after:
        return []
    return [forbidden_field("spec", _IMMUTABLE + "\n" + _difference(old["spec"], new["spec"]))]


def _difference(old: Any, new: Any, path: str = "") -> str:
    """The changed lines, one a field; a real server prints a diff of its internal form here."""
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            _difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
        return "".join(parts)
    return f"-  {path}: {old!r}\n+  {path}: {new!r}\n"


def prepare_pod_update(new: Object, old: Object) -> None:
    if new["spec"] != old["spec"]:
        new["status"] = old.get("status", {})
