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
    return resource.group == "events.k8s.io" or resource.custom is not None


def present(resource: ResourceType, obj: Object) -> Object:
    """The stored object in the version of ``resource``; shared with the store if nothing differs."""
    if obj.get("apiVersion") == resource.api_version:
        return obj
    if resource.group == "events.k8s.io":
        shown = {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}
    else:
        shown = dict(obj)
    shown["apiVersion"] = resource.api_version
    return shown


def store_form(resource: ResourceType, obj: Object) -> Object:
    """What a client sent in the version of ``resource``, as it is stored."""
    if resource.group != "events.k8s.io":
        return obj
    stored = {_EVENT_FIELDS_BACK.get(key, key): value for key, value in obj.items()}
    stored["apiVersion"] = "v1"
    return stored
