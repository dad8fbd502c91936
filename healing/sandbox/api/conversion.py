"""One object, two API versions: how a stored object looks in the version asked for."""

from __future__ import annotations

from healing.sandbox.api.registry import ResourceType
from healing.sandbox.ports import Object

#: core/v1 Event -> events.k8s.io/v1 Event
_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_EVENT_FIELDS_BACK = {new: old for old, new in _EVENT_FIELDS.items()}


def is_converted(resource: ResourceType) -> bool:
    """Does this version look different from what is stored?"""
    return resource.group == "events.k8s.io" or resource.custom is not None or resource.api_version == "autoscaling/v1"


def present(resource: ResourceType, obj: Object) -> Object:
    """The stored object in the version of ``resource``; shared with the store if nothing differs."""
    if obj.get("apiVersion") == resource.api_version:
        return obj
    if resource.group == "autoscaling":
        return _autoscaler_v1(obj)
    if resource.group == "events.k8s.io":
        shown = {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}
    else:
        shown = dict(obj)
    shown["apiVersion"] = resource.api_version
    return shown


def store_form(resource: ResourceType, obj: Object) -> Object:
    """What a client sent in the version of ``resource``, as it is stored."""
    if resource.api_version == "autoscaling/v1":
        return _autoscaler_v2(obj)
    if resource.group != "events.k8s.io":
        return obj
    stored = {_EVENT_FIELDS_BACK.get(key, key): value for key, value in obj.items()}
    stored["apiVersion"] = "v1"
    return stored


def _cpu_metric(metrics: object) -> Object | None:
    for item in metrics if isinstance(metrics, list) else []:
        resource = item.get("resource") or {}
        if resource.get("name") == "cpu":
            return dict(resource)
    return None


def _autoscaler_v1(obj: Object) -> Object:
    """An autoscaling/v2 autoscaler in v1, which knows only the target for cpu."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    target = _cpu_metric(spec.pop("metrics", None))
    spec.pop("behavior", None)
    if target and (target.get("target") or {}).get("averageUtilization") is not None:
        spec["targetCPUUtilizationPercentage"] = target["target"]["averageUtilization"]
    current = _cpu_metric(status.pop("currentMetrics", None))
    status.pop("conditions", None)
    status.setdefault("currentReplicas", 0)
    if current and (current.get("current") or {}).get("averageUtilization") is not None:
        status["currentCPUUtilizationPercentage"] = current["current"]["averageUtilization"]
    return {**obj, "apiVersion": "autoscaling/v1", "spec": spec, "status": status}


def _autoscaler_v2(obj: Object) -> Object:
    spec = dict(obj.get("spec") or {})
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    stored = {**obj, "apiVersion": "autoscaling/v2", "spec": spec}
    stored.pop("status", None)
    return stored
